"""The database of a simulation: one SQLite in memory that outlives every simulated process.

Rule: a transaction is one indivisible line of the simulation; what surrounds it (waiting for it, hearing that it was
committed) is where processes interleave and die.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from random import Random
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, StaticPool, create_engine

from pileus.kernel.db.base import Row, Stamp, Tx
from pileus.kernel.db.beginning import SCHEME
from pileus.kernel.db.session import Session
from pileus.kernel.errors import Unavailable
from pileus.kernel.testing.virtual import Process, this_process

P = ParamSpec("P")
T = TypeVar("T")


class ProcessEnded(BaseException):
    """Remains of a killed process have asked for something."""


class Store:
    """What is durable: the bytes of one database, and an engine for each process that may open it.

    It is used for many simulations, one after the other: ``restore`` puts it back to what ``keep`` returned.  Engines
    and their compiled statements stay, which is what makes a simulation quick to start.
    """

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.connection.execute("pragma foreign_keys=on")
        self._engines: dict[str, Engine] = {}

    def engine(self, name: str) -> Engine:
        """Return the engine of the process called ``name``; it is the same after the process was restarted."""
        found = self._engines.get(name)
        if found is None:
            found = create_engine(f"{SCHEME}://", poolclass=StaticPool, creator=lambda: self.connection)
            self._engines[name] = found
        return found

    def keep(self) -> bytes:
        """Return the whole database."""
        return self.connection.serialize()

    def restore(self, content: bytes) -> None:
        """Put the database back to what it was."""
        self.connection.deserialize(content)
        self.connection.execute("pragma foreign_keys=on")


class SimulatedDatabase:
    """One process's connection to the store."""

    def __init__(self, store: Store, process: Process, random: Random) -> None:
        self._engine = store.engine(process.name)
        self._process = process
        self._random = random
        self._connection = self._engine.connect()
        self._snapshot = Session(self._connection, expire_on_commit=False, autoflush=False)
        self._stamp = Stamp(lambda: store.connection.total_changes)
        self.refusals = 0.0
        """How often a transaction is refused because the engine is away, as a share."""
        self.latency_s = 0.001
        self.committed: Callable[[], None] = lambda: None
        """Called after each commit: where an auditor looks."""

    async def read(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        await self._come()
        tx = self._snapshot
        tx.info["snapshot"] = True
        tx.info["stamp"] = self._stamp
        try:
            return work(tx, *args, **kwargs)
        finally:
            tx.close()
            tx.info.clear()

    async def write(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        await self._come()
        with Session(self._connection, expire_on_commit=False, join_transaction_mode="control_fully") as tx:
            result = work(tx, *args, **kwargs)
            tx.commit()
            callbacks = tuple(tx.info.get("after_commit", ()))
        self.committed()
        # Here the work is durable and nobody knows yet: a process that is killed now never calls back.
        await asyncio.sleep(self._random.random() * self.latency_s)
        for callback in callbacks:
            callback()
        return result

    async def create_schema(self) -> None:
        Row.metadata.create_all(self._engine)

    async def change_schema(self, work: Callable[[Connection], T]) -> T:
        with self._connection.begin():
            return work(self._connection)

    async def close(self) -> None:
        self._snapshot.close()
        self._connection.close()

    async def _come(self) -> None:
        self._check()
        await asyncio.sleep(self._random.random() * self.latency_s)
        self._check()
        if self.refusals and self._random.random() < self.refusals:
            raise Unavailable("The database is away for a moment; try again shortly.")

    def _check(self) -> None:
        process = this_process()
        if not self._process.alive or (process is not None and not process.alive):
            raise ProcessEnded(self._process.name)


def query(store: Store, statement: str, *parameters: Any) -> list[Any]:
    """Ask the store directly, between transactions."""
    return store.connection.execute(statement, parameters).fetchall()
