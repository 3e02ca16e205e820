"""How long what has ended is remembered, and giving its space back.

Rule: little at a time.  How much a transaction deletes follows from how long the last one took, so that whoever else
writes waits no longer for it than for another request.
"""

from sqlalchemy import Connection

from pileus.kernel.config import Settings
from pileus.kernel.db import Tx
from pileus.kernel.reconcile import World, reconciler

FREE_BYTES = 1 << 20
"""Of a database file that may stay free for what comes next."""
FREE_SHARE = 20
"""And the part of the whole file, one in so many."""


class HistorySettings(Settings, frozen=True):
    """Table ``[history]``: for how many days (or parts of one) what has ended is remembered."""

    operations_days: float = 1.0
    """Operations that succeeded, with their steps."""
    failed_operations_days: float = 14.0
    """Operations that failed, with their steps."""
    events_days: float = 7.0
    """Events."""
    requests_days: float = 7.0
    """Requests that changed something."""


def give_back(tx: Tx, limit: int) -> int:
    """Return at most ``limit`` free pages of an SQLite file to the file system; return how many.

    Other engines reuse and return what is free by themselves.
    """
    connection = tx.connection()
    if connection.dialect.name != "sqlite":
        return 0
    free = _pragma(connection, "freelist_count")
    spare = max(FREE_BYTES // _pragma(connection, "page_size"), _pragma(connection, "page_count") // FREE_SHARE)
    if free <= spare:
        return 0
    for _ in range(min(limit, free - spare)):
        # One by one: the driver takes a single step of a statement that returns nothing, and that is a page.
        connection.exec_driver_sql("pragma incremental_vacuum(1)")
    return free - _pragma(connection, "freelist_count")


def _pragma(connection: Connection, name: str) -> int:
    return connection.exec_driver_sql(f"pragma {name}").scalar_one()


@reconciler("kernel.space", every_s=900)
async def return_space(world: World) -> None:
    """Give back the space of what was deleted."""
    await world.forget(give_back)
