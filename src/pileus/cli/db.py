"""``pileus db``: which schema the database has, and moving it forward, back, or writing the next revision."""

import argparse
import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from pileus.cli.settings import configuration
from pileus.cli.state import State
from pileus.cli.terminal import Problem, say
from pileus.kernel.db import open_database, schema
from pileus.kernel.errors import ApiError
from pileus.kernel.service import find_services

T = TypeVar("T")


def run(words: argparse.Namespace) -> None:
    """Show or change the schema's revision."""
    try:
        VERBS[words.verb](words)
    except ApiError as error:
        raise Problem(error.message) from error


def current(words: argparse.Namespace) -> None:
    """Print the database's revision and the program's."""
    find_services()
    found, wanted = _in_database(words, schema.stored), schema.head()
    say(f"database: {found or '(no tables yet)'}")
    say(f"program:  {wanted}")
    if found != wanted:
        say("The next start, or `pileus db upgrade`, settles the difference.")


def upgrade(words: argparse.Namespace) -> None:
    """Run the revisions that are missing, up to the one named or all."""
    from pileus.kernel.db import migrate

    _refuse_while_it_runs(words)
    find_services()
    if words.revision is None and _in_database(words, schema.stored) is None:
        asyncio.run(_bring_up(words))
        say(f"Made every table, at revision {schema.head()}.")
        return
    _tell("Migrated to", _in_database(words, partial(migrate.upgrade, to=words.revision)))


def downgrade(words: argparse.Namespace) -> None:
    """Take back every revision after the one named."""
    from pileus.kernel.db import migrate

    if words.revision is None:
        known = ", ".join(revision.id for revision in schema.chain()) or "(there are none before the first release)"
        raise Problem("Back to which revision?", f"`pileus db downgrade REVISION`, one of: {known}.")
    _refuse_while_it_runs(words)
    _tell("Took back", _in_database(words, partial(migrate.downgrade, to=words.revision)))


def revision(words: argparse.Namespace) -> None:
    """Write the revision that leads to the models as they are now."""
    from pileus.kernel.db import migrate

    if words.revision is None:
        raise Problem("What does the revision do?", '`pileus db revision "Give servers a colour"`')
    find_services()
    path = migrate.write(words.revision)
    say(f"Written: {path}. Read it, and add how data moves." if path else "The models and the revisions agree.")


VERBS = {
    "current": current,
    "upgrade": upgrade,
    "downgrade": downgrade,
    "revision": revision,
}


def _tell(what: str, revisions: list[str]) -> None:
    say(f"{what}: {', '.join(revisions)}" if revisions else "There was nothing to do.")


def _refuse_while_it_runs(words: argparse.Namespace) -> None:
    if State(words.state).pid("server") is not None:
        raise Problem("The cloud runs on this database.", "Stop it first: `pileus down` (guests go on).")


async def _bring_up(words: argparse.Namespace) -> None:
    database = open_database(configuration(State(words.state)).database_url)
    try:
        await schema.bring_up(database)
    finally:
        await database.close()


def _in_database(words: argparse.Namespace, work: Callable[[Connection], T]) -> T:
    async def go() -> Any:
        database = open_database(configuration(State(words.state)).database_url)
        try:
            return await database.change_schema(work)
        finally:
            await database.close()

    return asyncio.run(go())
