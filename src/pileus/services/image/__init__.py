"""Images: the Glance v2 API; the bytes live in object storage."""
