"""Every SQL statement of block storage, by resource.  One rule: no decisions here, only rows."""
