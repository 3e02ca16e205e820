"""The decisions of the network service, by noun.  Rule: each runs in the caller's transaction and refuses in words."""
