"""Object storage: the Swift v1 API over bytes in device folders and rows in the database."""
