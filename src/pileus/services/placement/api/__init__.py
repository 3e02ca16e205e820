"""Placement over HTTP, one file per resource."""
