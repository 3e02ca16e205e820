"""Every SQL statement of placement."""
