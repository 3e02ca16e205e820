"""One life of the cloud's database: what is left of an earlier life can neither read nor write it."""

from collections.abc import Callable
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from sqlalchemy import Connection

from pileus.kernel.db import Tx
from pileus.kernel.db.sqlite import SQLite
from pileus.kernel.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class OneLife:
    """The cloud's SQLite file from one start of the control plane to its stop; the engines outlive it."""

    def __init__(self, sqlite: SQLite) -> None:
        self._sqlite = sqlite
        self._over = False

    async def read(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._check()
        return await self._sqlite.read(work, *args, **kwargs)

    async def write(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._check()
        return await self._sqlite.write(work, *args, **kwargs)

    async def create_schema(self) -> None:
        self._check()
        await self._sqlite.create_schema()

    async def change_schema(self, work: Callable[[Connection], T]) -> T:
        self._check()
        return await self._sqlite.change_schema(work)

    async def close(self) -> None:
        self._over = True
        await self._sqlite.close()

    def _check(self) -> None:
        if self._over:
            refuse()


def refuse(*_: Any) -> NoReturn:
    """Refuse what came too late."""
    raise Unavailable("The cloud was put back to another state meanwhile; ask again.")
