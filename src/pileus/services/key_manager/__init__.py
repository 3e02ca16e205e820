"""Key management: Barbican, upstream."""
