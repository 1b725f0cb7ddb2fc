"""Synthetic glioma hospitals with a known truth."""
