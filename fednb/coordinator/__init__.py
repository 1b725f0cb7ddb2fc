"""What a scientist holds, and the service that drives runs."""
