"""Bytes of messages, and the two seams over which they travel."""
