"""Which hosts reach each other through tunnels.  Rule: their agents' facts say it; read once in a transaction."""

from typing import Any

from sqlalchemy import select

from pileus.kernel.agent.hosts import HostRow
from pileus.kernel.db import Tx

_KNOWN = "network_tunnels"
_host: Any = HostRow.__table__
_FACTS = select(_host.c.name, _host.c.facts)


def ends(tx: Tx) -> dict[str, str]:
    """Return the tunnel address of every host that has one."""
    found = tx.info.get(_KNOWN)
    if found is None:
        facts = ((name, told.get("network", {})) for name, told in tx.connection().execute(_FACTS))
        found = {name: told["tunnel_ip"] for name, told in facts if told.get("tunnel_ip")}
        tx.info[_KNOWN] = found
    return found
