"""Escaped HTML and text, by which results and contracts show themselves."""
