"""Identity v3 over HTTP, one file per resource."""
