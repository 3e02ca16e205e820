"""The block storage API, one module per resource."""
