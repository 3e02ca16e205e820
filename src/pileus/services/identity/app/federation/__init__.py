"""People whom others vouch for: what providers say of them, and what that makes of them here."""
