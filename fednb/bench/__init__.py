"""Figures, measured side by side: ``fednb bench``."""
