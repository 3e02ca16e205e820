"""Every SQL statement of the network service, by noun.  Rule: related rows come in one query per kind."""
