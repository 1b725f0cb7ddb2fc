"""Networks by name, and their weights as flat arrays."""
