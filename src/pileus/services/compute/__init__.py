"""Compute: servers on hosts, and the flavors, keys, groups and aggregates that shape them."""
