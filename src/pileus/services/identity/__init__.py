"""Identity (Keystone v3): who people are, what they may do where, and where the services are."""
