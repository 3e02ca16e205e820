"""The Images API v2."""
