"""The command line, as ``fednb``."""

from fednb.cli.root import app, main

__all__ = ["app", "main"]
