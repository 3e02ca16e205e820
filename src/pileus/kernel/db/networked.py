"""PostgreSQL: the same plain functions, run in a greenlet over an async driver.

Rule: every transaction is serializable and run again when the engine says that two of them collided.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from pileus.kernel import ids
from pileus.kernel.db.base import Row, Session, Tx
from pileus.kernel.errors import OutOfSpace, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

ATTEMPTS = 12
DRIVERS = {"postgresql": "postgresql+psycopg"}
COLLISIONS = {"40001", "40P01"}
FULL_DISK = {"53100"}


class Networked:
    """An engine that is reached over a socket."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        parsed = make_url(url)
        parsed = parsed.set(drivername=DRIVERS.get(parsed.drivername, parsed.drivername))
        self.engine = create_async_engine(
            parsed, isolation_level="SERIALIZABLE", pool_size=pool_size, max_overflow=10, pool_pre_ping=True
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, sync_session_class=Session)

    async def read(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(work, args, kwargs, commit=False)

    async def write(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(work, args, kwargs, commit=True)

    async def _run(self, work: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], *, commit: bool) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._sessions() as session:
                    result = await session.run_sync(work, *args, **kwargs)
                    if commit:
                        await session.commit()
                    self._run_callbacks(session)
                    return result
            except DBAPIError as error:
                if error.connection_invalidated and not commit and attempt < 3:
                    continue
                code = sqlstate(error)
                if code in FULL_DISK:
                    raise OutOfSpace("The database server's disk is full: free some space, then try again.") from error
                if code not in COLLISIONS:
                    raise
                log.debug("transaction collided (%s), attempt %d", code, attempt)
                await asyncio.sleep(ids.jitter(0.005 * 2 ** min(attempt, 7), 0.5))
        raise Unavailable(
            f"The database refused this change {ATTEMPTS} times because others kept changing the same rows; try again.",
            headers={"Retry-After": "1"},
        )

    @staticmethod
    def _run_callbacks(session: AsyncSession) -> None:
        for callback in session.sync_session.info.get("after_commit", ()):
            callback()

    async def create_schema(self) -> None:
        async with self.engine.begin() as connection:
            await connection.run_sync(Row.metadata.create_all)

    async def close(self) -> None:
        await self.engine.dispose()


def sqlstate(error: DBAPIError) -> str:
    """Return the SQLSTATE of a driver's error."""
    return str(getattr(error.orig, "sqlstate", None) or "")
