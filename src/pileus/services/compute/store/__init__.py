"""Every SQL statement of the compute service, by resource."""
