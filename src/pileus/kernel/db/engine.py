"""The interface of the database engines, and the choice between them by URL."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from pileus.kernel.db.base import Tx

P = ParamSpec("P")
T = TypeVar("T")


class Database(Protocol):
    """Runs plain functions of a transaction.

    The function does no I/O of its own and may be run again after a serialization failure, so it keeps
    nothing outside its transaction.  When ``write`` returns, the work is durable; when it raises, nothing
    happened.
    """

    async def read(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, ...)`` on one consistent snapshot; it must not write."""
        ...

    async def write(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, ...)`` and commit durably before returning."""
        ...

    async def create_schema(self) -> None:
        """Create the tables and indexes that are missing: for tests of parts; a cloud has ``schema.bring_up``."""
        ...

    async def change_schema(self, work: Callable[[Connection], T]) -> T:
        """Run ``work(connection)`` while no other process does the same; in one transaction where the engine can."""
        ...

    async def close(self) -> None:
        """Finish what is queued and let go of the engine."""
        ...


def open_database(url: str, *, synced: bool = True, **options: Any) -> Database:
    """Return the engine for a URL: ``sqlite:///PATH``, ``postgresql://...``, ``mariadb://...`` or ``mysql://...``.

    ``synced``: whether commits wait for the disk; a database server settles that by itself.
    """
    if url.startswith("sqlite:///"):
        from pileus.kernel.db.sqlite import SQLite

        return SQLite(url.removeprefix("sqlite:///"), synced=synced, **options)
    from pileus.kernel.db.networked import Networked

    return Networked(url, **options)
