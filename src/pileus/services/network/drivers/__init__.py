"""Drivers that make a host's networks true: `linux` for real ones, `fake` for clouds without hosts."""
