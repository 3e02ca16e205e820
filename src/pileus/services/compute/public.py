"""All that others may ask of compute.  Rule: plain functions of ``tx``, facts only."""

from pileus.kernel.db import Tx
from pileus.services.compute.store import servers as store

__all__ = ["server_name"]


def server_name(tx: Tx, server_id: str) -> str | None:
    """Return the name of a server, None when there is none of that id."""
    server = store.get_server(tx, server_id)
    return None if server is None else server.name
