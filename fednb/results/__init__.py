"""Frozen records that show themselves; importing them loads no pandas."""
