"""Coordinator and sites in one process."""
