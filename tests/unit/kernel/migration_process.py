"""A real process that migrates a database, or that kills itself just before its n-th change of it."""

import asyncio
import os
import re
import signal
import time
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, event

from pileus.kernel.db import migrate, open_database, schema
from pileus.kernel.service import find_services

find_services()
CHANGES = re.compile(r"\s*(create|alter|drop|insert|update|delete|commit)\b", re.IGNORECASE)


def run(url: str, folder: str, kill_at: int = 0, back_to: str = "", start_at: float = 0) -> None:
    """Bring the database up as a start does, or take it back to a revision."""
    time.sleep(max(0, start_at - time.time()))
    asyncio.run(_run(url, Path(folder), kill_at, back_to))


async def _run(url: str, folder: Path, kill_at: int, back_to: str) -> None:
    database = open_database(url)
    changes = 0

    def strike(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        nonlocal changes
        changes += CHANGES.match(statement) is not None
        if changes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def strike_commit(_c: object) -> None:
        strike(None, None, "commit")

    def work(connection: Connection) -> None:
        if kill_at:
            event.listen(connection, "before_cursor_execute", strike)
            event.listen(connection, "commit", strike_commit)
        step = partial(migrate.downgrade, to=back_to, folder=folder) if back_to else partial(schema._settle, folder)
        step(connection)

    if back_to or kill_at:
        await database.change_schema(work)
    else:
        await schema.bring_up(database, folder)
    await database.close()
