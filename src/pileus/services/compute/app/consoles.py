"""Rights to consoles: made for whoever may see the server, kept as digests, good for minutes.

Rule: the token is in the URL that was handed out and nowhere else.
"""

import hashlib
from datetime import timedelta

from pileus.kernel import clock, ids
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound, Unauthenticated
from pileus.services.compute.lifecycle import ACTIVE, PAUSED
from pileus.services.compute.model import ConsoleToken, Server
from pileus.services.compute.store import servers as store

LIFETIME = timedelta(minutes=10)
OFFERED = {"vnc": ("novnc",)}
KNOWN = {
    "vnc": ("novnc", "xvpvnc"),
    "spice": ("spice-html5", "spice-direct"),
    "serial": ("serial",),
    "mks": ("webmks",),
    "rdp": ("rdp-html5",),
}


def make_token(tx: Tx, server: Server, protocol: str, type: str) -> str:
    """Return a token for the console of a server that runs; raise Invalid for a kind that is not offered."""
    if type not in OFFERED.get(protocol, ()):
        raise Invalid(f"Unavailable console type {type}: this cloud offers vnc consoles of the type novnc.")
    if server.host is None:
        raise NotFound(f"Instance {server.id} is on no host yet; try again when it is ACTIVE.")
    if server.vm_state not in (ACTIVE, PAUSED):
        raise Conflict(f"Cannot open the console of instance {server.id} while it is in vm_state {server.vm_state}.")
    token = ids.new_secret()
    row = ConsoleToken(
        digest=_digest(token),
        server_id=server.id,
        host=server.host,
        protocol=protocol,
        expires_at=clock.now() + LIFETIME,
    )
    store.insert_console_token(tx, row)
    return token


def check_token(tx: Tx, token: str) -> ConsoleToken:
    """Return what a token stands for; raise Unauthenticated when it is unknown or too old."""
    found = store.get_console_token(tx, _digest(token))
    if found is None:
        raise Unauthenticated("The console token is unknown or has expired: ask for a new console.")
    return found


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
