"""Placeholder of the public face."""
