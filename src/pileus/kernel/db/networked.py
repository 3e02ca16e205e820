"""PostgreSQL and MariaDB: the same plain functions, run in a greenlet over an async driver.

Rule: every transaction that writes is serializable, every one that reads sees one snapshot, and a transaction is
run again when two of them collided: when the engine says so, or when a key that it did not see is taken.  Run again,
it sees who took it; the same key refused twice is no collision.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from pileus.kernel import ids
from pileus.kernel.db.base import Collided, Row, Tx
from pileus.kernel.db.session import Session
from pileus.kernel.db.violations import may_be_a_race
from pileus.kernel.errors import ApiError, Invalid, OutOfSpace, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

ATTEMPTS = 12
LOCK_WAIT_S = 10
AWAY = "The database server cannot be reached; try again shortly."


@dataclass(frozen=True)
class Kind:
    """What differs between the engines: names of drivers, codes of failures, how a read gets its snapshot."""

    driver: str
    collisions: frozenset[str]
    full_disk: frozenset[str]
    away: frozenset[str]
    lock_schema: str
    session: tuple[str, ...] = ()
    """Statements for every new connection."""
    read_isolation: str = "SERIALIZABLE"
    read_session: tuple[str, ...] = ()


_POSTGRESQL = Kind(
    driver="postgresql+psycopg",
    collisions=frozenset({"40001", "40P01"}),
    full_disk=frozenset({"53100"}),
    away=frozenset({"57P01", "57P02", "57P03", "53300", "08000", "08001", "08003", "08006"}),
    lock_schema="select pg_advisory_lock(7453871)",
)
# InnoDB's serializable transactions lock what they read; that of its snapshots which only read need not, for a
# snapshot is the state after some commit, and locks make the order of commits the order of transactions.
_MARIADB = Kind(
    driver="mariadb+asyncmy",
    collisions=frozenset({"1213", "1205", "1020"}),
    full_disk=frozenset({"1021", "1114", "1026"}),
    away=frozenset({"1040", "1053", "1927", "2002", "2003", "2006", "2013", "2055"}),
    lock_schema="select get_lock(concat('pileus schema ', database()), 3600)",
    session=(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
        "NO_ENGINE_SUBSTITUTION'",
        f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}",
    ),
    read_isolation="REPEATABLE READ",
    read_session=("SET SESSION TRANSACTION READ ONLY",),
)
KINDS = {
    "postgresql": _POSTGRESQL,
    "mariadb": _MARIADB,
    "mysql": Kind(**{**vars(_MARIADB), "driver": "mysql+asyncmy"}),
}


class Networked:
    """An engine that is reached over a socket."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        parsed = make_url(url)
        self.kind = KINDS[parsed.get_backend_name()]
        parsed = parsed.set(drivername=self.kind.driver)

        # The driver repeats each of the server's remarks as a warning, one for every primary key that has a name.
        logging.getLogger("asyncmy").setLevel(logging.ERROR)

        def engine(isolation: str, *statements: str) -> AsyncEngine:
            made = create_async_engine(
                parsed,
                isolation_level=isolation,
                pool_size=pool_size,
                max_overflow=10,
                pool_pre_ping=True,
                hide_parameters=True,  # an error's text may be logged, and what is written may be a secret
            )
            if statements:
                event.listen(made.sync_engine, "connect", _executing(statements))
            return made

        self.engine = engine("SERIALIZABLE", *self.kind.session)
        self._readers = self.engine
        if self.kind.read_session:
            self._readers = engine(self.kind.read_isolation, *self.kind.session, *self.kind.read_session)
        self._write = async_sessionmaker(self.engine, expire_on_commit=False, sync_session_class=Session)
        self._read = async_sessionmaker(self._readers, expire_on_commit=False, sync_session_class=Session)

    async def read(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(work, args, kwargs, commit=False)

    async def write(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(work, args, kwargs, commit=True)

    async def _run(self, work: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], *, commit: bool) -> T:
        refused = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with (self._write if commit else self._read)() as session:
                    result = await session.run_sync(work, *args, **kwargs)
                    if commit:
                        await session.commit()
                    self._run_callbacks(session)
                    return result
            except Collided as error:
                code = str(error)
            except DBAPIError as error:
                if error.connection_invalidated and not commit and attempt < 3:
                    continue
                code = error_code(error)
                raced = isinstance(error, IntegrityError) and may_be_a_race(error) and str(error.orig) != refused
                if code not in self.kind.collisions and not raced:
                    raise self._named(error, code) from error
                refused = str(error.orig)
            log.debug("transaction collided (%s), attempt %d", code, attempt)
            await asyncio.sleep(ids.jitter(0.005 * 2 ** min(attempt, 7), 0.5))
        raise Unavailable(
            f"The database refused this change {ATTEMPTS} times because others kept changing the same rows; try again.",
            headers={"Retry-After": "1"},
        )

    def _named(self, error: DBAPIError, code: str) -> DBAPIError | ApiError:
        """Turn trouble of the server into sentences an operator can act on; leave a mistake of ours as it is."""
        if code in self.kind.full_disk:
            return OutOfSpace("The database server's disk is full: free some space, then try again.")
        if code in self.kind.away:
            log.error("the database server failed: %s", error.orig)
            return Unavailable(AWAY, headers={"Retry-After": "2"})
        if isinstance(error, DataError):  # SQLite would keep it: a NUL in a text, a number beyond its column
            return Invalid(
                "A value in this request cannot be stored: a text that is too long or holds a NUL, or a number too big."
            )
        return error

    @staticmethod
    def _run_callbacks(session: AsyncSession) -> None:
        for callback in session.sync_session.info.get("after_commit", ()):
            callback()

    async def create_schema(self) -> None:
        async with self.engine.begin() as connection:
            await connection.run_sync(Row.metadata.create_all)

    async def change_schema(self, work: Callable[[Connection], T]) -> T:
        # Each statement must see what the previous holder of the lock has committed.
        async with self.engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="READ COMMITTED")
            try:
                await connection.execute(text(self.kind.lock_schema))
                result = await connection.run_sync(work)
                await connection.commit()
                return result
            finally:
                await connection.invalidate()  # with the connection goes the lock, whatever happened

    async def close(self) -> None:
        await self.engine.dispose()
        if self._readers is not self.engine:
            await self._readers.dispose()


def _executing(statements: tuple[str, ...]) -> Callable[[Any, object], None]:
    def connect(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()

    return connect


def error_code(error: DBAPIError) -> str:
    """Return the SQLSTATE of PostgreSQL's error, or the number of MariaDB's."""
    told = getattr(error.orig, "args", ())
    if told and isinstance(told[0], int):
        # A deadlock has rolled the savepoints back too: leaving one then says that it does not exist.
        return "1213" if told[0] == 1305 and "SAVEPOINT" in str(told[-1]) else str(told[0])
    return str(getattr(error.orig, "sqlstate", None) or "")
