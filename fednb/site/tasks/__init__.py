"""What a site can be asked to compute."""
