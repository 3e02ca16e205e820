"""How a transaction that begins an operation finds the worker in its own process.

Rule: a shortcut only.  Without it (an api process with no worker, a crash right after the commit) the
operation waits for the next poll of any worker.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Engine

from pileus.kernel.db import Tx


class Claimed(msgspec.Struct, frozen=True):
    """An operation together with the lease that allows its holder to run it."""

    id: str
    kind: str
    resource: str
    input: str
    state: str
    epoch: int
    owner: str
    lease_expires_at: datetime
    deadline: datetime
    created_at: datetime
    error: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    fresh: bool = False
    """Nobody has run it before, so that its journal is known to be empty."""


class Listener(Protocol):
    """A worker, as the transaction sees it."""

    def offer(self, now: datetime) -> tuple[str, datetime] | None:
        """Return (owner, end) of a lease for one more operation, or ``None`` when busy; any thread may ask."""
        ...

    def begun(self, claimed: Claimed) -> None:
        """Run an operation that was born with this worker's lease; called on the event loop after the commit."""
        ...

    def waiting(self, operation_id: str, waits_for: Sequence[str]) -> None:
        """Take notice of an operation without a lease, to be claimed soon or when ``waits_for`` have ended."""
        ...

    def cancelled(self, operation_id: str) -> None:
        """Take notice that a live operation is to be undone."""
        ...


_listeners: "WeakKeyDictionary[Engine, Listener]" = WeakKeyDictionary()


def engine_of(tx: Tx) -> Engine:
    """Return the engine behind a transaction: what ties it to the worker of the same database."""
    return tx.get_bind().engine


def listen(engine: Engine, listener: Listener) -> None:
    """Make ``listener`` the one that hears of operations begun through ``engine``."""
    _listeners[engine] = listener


def unlisten(engine: Engine, listener: Listener) -> None:
    """Stop telling ``listener``."""
    if _listeners.get(engine) is listener:
        del _listeners[engine]


def listener_of(tx: Tx) -> Listener | None:
    """Return who listens to this transaction's database in this process."""
    return _listeners.get(engine_of(tx))
