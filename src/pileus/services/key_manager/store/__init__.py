"""Every statement of key management."""
