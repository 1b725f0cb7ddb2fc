"""Everything behind the wall of a hospital."""
