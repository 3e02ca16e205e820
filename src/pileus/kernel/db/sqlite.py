"""The embedded engine: one process, one file in WAL mode, every commit synced (unless the cloud can do without).

Rule: reads run inline on a snapshot; writes queue for one writer thread that commits all that wait together,
each request in its own savepoint, so that one sync to disk serves many and nobody is answered before it.
"""

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from pileus.kernel.db.base import Row, Stamp, Tx
from pileus.kernel.db.beginning import SCHEME
from pileus.kernel.db.session import Session
from pileus.kernel.errors import OutOfSpace, Unavailable
from pileus.kernel.patterns import regexp
from pileus.kernel.watchdog import Stopwatch

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

BATCH = 64
"""Transactions that share one sync at most: bounds how long the first of them waits."""
CACHE_KIB = 4096
"""Of pages that each connection keeps; the operating system's own cache holds the rest of the file."""
QUEUE = 4096
"""Transactions that may wait; beyond it the client is told to come back."""


@dataclass(slots=True)
class _Job:
    work: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


@dataclass(slots=True)
class _Outcome:
    result: Any = None
    error: BaseException | None = None
    callbacks: tuple[Callable[[], object], ...] = ()


class SQLite:
    """One SQLite file.  ``inline=True`` writes on the caller's thread: deterministic, for the simulation.

    Without ``synced`` commits outlive the process, not a loss of the machine's power.
    """

    def __init__(self, path: str, *, inline: bool = False, synced: bool = True) -> None:
        self.path = path
        self._synced = synced
        # It holds password hashes; the write-ahead log takes its mode from it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._reader = _engine(path, "BEGIN", query_only=True, synced=synced)
        self._writer = _engine(path, "BEGIN IMMEDIATE", synced=synced)
        self._snapshot: Session | None = None
        self._connection: Connection | None = None
        self._inline = inline
        self._queue: queue.Queue[_Job | None] = queue.Queue(QUEUE)
        self._thread: threading.Thread | None = None
        self.reopen()

    def reopen(self) -> None:
        """Serve again after ``close``, also when another file lies at the path now; what was learned is forgotten.

        The engines stay with their compiled statements: a database that is put back to what it was is quick again.
        """
        self._watcher = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        self._stamp = Stamp(self._version)

    async def read(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        # One connection and one session serve all reads: each runs to its end before the next one starts, and
        # making them anew would cost more than most reads do.
        if self._snapshot is None:
            self._snapshot = Session(self._reader.connect(), expire_on_commit=False, autoflush=False)
        tx = self._snapshot
        tx.info["snapshot"] = True
        tx.info["stamp"] = self._stamp
        try:
            with _named():
                return work(tx, *args, **kwargs)
        finally:
            tx.close()
            tx.info.clear()

    async def write(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        job = _Job(work, args, kwargs, loop.create_future(), loop)
        if self._inline:
            _settle([(job, outcome) for job, outcome in self._commit([job])])
            return await job.done
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, daemon=True, name="sqlite-writer")
            self._thread.start()
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            raise Unavailable(
                f"{QUEUE} writes are waiting already; try again in a second.", headers={"Retry-After": "1"}
            ) from None
        return await job.done

    async def create_schema(self) -> None:
        with _named(), self._writer.begin() as connection:
            Row.metadata.create_all(connection)

    async def change_schema(self, work: Callable[[Connection], T]) -> T:
        # Without foreign keys: rebuilding a table drops it, which would delete what refers to its rows.
        engine = _engine(self.path, "BEGIN IMMEDIATE", foreign_keys=False, patience_s=600, synced=self._synced)
        try:
            with _named(), engine.begin() as connection:
                result = work(connection)
                if broken := connection.exec_driver_sql("pragma foreign_key_check").all():
                    raise RuntimeError(f"the change would leave rows that refer to nothing: {broken[:5]}")
                return result
        finally:
            engine.dispose()

    async def close(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        if self._snapshot is not None:
            self._snapshot.connection().close()
            self._snapshot = None
        self._let_go()
        self._watcher.close()
        self._reader.dispose()
        self._writer.dispose()

    def _version(self) -> int:
        """Return a number that every commit by another connection moves; costs microseconds, and reads no page."""
        return self._watcher.execute("pragma data_version").fetchone()[0]

    def _let_go(self) -> None:
        """Close the writing connection; the next commit opens a new one."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = [first], False
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH and not last:
                    job = self._queue.get_nowait()
                    if job is None:
                        last = True
                    else:
                        batch.append(job)
            outcomes = self._commit(batch)
            first.loop.call_soon_threadsafe(_settle, outcomes)
            if last:
                return

    def _commit(self, batch: list[_Job]) -> list[tuple[_Job, _Outcome]]:
        """Run the batch in one transaction; if the engine itself fails, every job gets that failure."""
        outcomes: list[tuple[_Job, _Outcome]] = []
        try:
            if self._connection is None:
                self._connection = self._writer.connect()
            if len(batch) == 1:
                outcome = _alone(self._connection, batch[0])
                if (
                    self._connection.get_transaction() is not None
                ):  # a commit that failed, on a full disk say, leaves it so
                    self._let_go()
                return [(batch[0], outcome)]
            with _named(), self._connection.begin():
                outcomes = [(job, _attempt(self._connection, job)) for job in batch]
        except Exception as error:
            self._let_go()
            log.exception("a commit failed; %d requests are refused", len(batch))
            return [(job, _Outcome(error=error)) for job in batch]
        return outcomes


def _alone(connection: Connection, job: _Job) -> _Outcome:
    """Run one job in a transaction of its own: no savepoint is needed where nobody else is touched."""
    try:
        with _named(), Session(connection, expire_on_commit=False, join_transaction_mode="control_fully") as tx:
            result = _timed(tx, job)
            watch = Stopwatch()
            tx.commit()
            watch.check("commit", tx.info, job.work)
            return _Outcome(result, None, tuple(tx.info.get("after_commit", ())))
    except Exception as error:
        return _Outcome(error=error)


def _attempt(connection: Connection, job: _Job) -> _Outcome:
    """Run one job in its own savepoint; its failure leaves the others' work alone."""
    try:
        with Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as tx:
            result = _timed(tx, job)
            tx.commit()
            return _Outcome(result, None, tuple(tx.info.get("after_commit", ())))
    except DBAPIError as error:
        if connection.invalidated or not connection.in_transaction() or _is_engine_trouble(error):
            raise
        return _Outcome(error=error)
    except Exception as error:
        return _Outcome(error=error)


def _timed(tx: Tx, job: _Job) -> Any:
    watch = Stopwatch()
    try:
        return job.work(tx, *job.args, **job.kwargs)
    finally:
        watch.check("writer", tx.info, job.work)


def _settle(outcomes: list[tuple[_Job, _Outcome]]) -> None:
    for job, outcome in outcomes:
        if not job.done.done():
            if outcome.error is not None:
                job.done.set_exception(outcome.error)
            else:
                job.done.set_result(outcome.result)
        for callback in outcome.callbacks:
            callback()


def _is_engine_trouble(error: DBAPIError) -> bool:
    """Tell a full or broken disk (SQLite has then rolled everything back) from a mistake in one request."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOMEM)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Turn trouble of the disk into sentences an operator can act on."""
    try:
        yield
    except DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise OutOfSpace("The disk that holds the database is full: free some space, then try again.") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Unavailable("The database is locked by another program; try again shortly.") from error
        raise


def _engine(
    path: str,
    begin: str,
    *,
    query_only: bool = False,
    foreign_keys: bool = True,
    patience_s: float = 30,
    synced: bool = True,
) -> Engine:
    engine = create_engine(
        f"{SCHEME}:///{path}",
        begin=begin,
        pool_size=1,
        max_overflow=4,
        hide_parameters=True,  # an error's text may be logged, and what is written may be a secret
        connect_args={"timeout": patience_s},
    )

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # begin and commit are ours
        if not connection.execute("pragma page_count").fetchone()[0]:
            connection.execute("pragma auto_vacuum=incremental")  # heeded while the file is empty; it writes
        connection.execute("pragma journal_mode=wal")
        connection.execute(f"pragma synchronous={'full' if synced else 'off'}")
        connection.execute(f"pragma foreign_keys={'on' if foreign_keys else 'off'}")
        connection.create_function("regexp", 2, regexp, deterministic=True)  # SQLAlchemy's own runs on Python's re
        connection.execute(f"pragma cache_size=-{CACHE_KIB}")
        if query_only:
            connection.execute("pragma query_only=on")

    return engine
