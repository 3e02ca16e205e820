"""Ids of people whom another system keeps.

Rule: the id follows from where somebody is known and under which name, so that it is the same in every cloud with the
same domain, and after a cloud was made anew.  Keystone's own way of making them (its sha256 generator).
"""

import hashlib


def public_id(domain_id: str, entity: str, local_id: str) -> str:
    """Return the id of a ``user`` or ``group`` that is ``local_id`` in the system behind a domain."""
    return hashlib.sha256(f"{domain_id}{entity}{local_id}".encode()).hexdigest()
