"""The Compute API, 2.1 to 2.103: one file per resource."""
