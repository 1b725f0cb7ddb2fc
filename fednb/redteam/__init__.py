"""Attacks of disclosure control, against fednb and against the rules of its peers."""
