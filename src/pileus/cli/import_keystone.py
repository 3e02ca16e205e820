"""``pileus import keystone``: takes over the people, projects, roles and secrets of a Keystone."""

import argparse
import asyncio

from pileus.cli.settings import configuration
from pileus.cli.state import State
from pileus.cli.terminal import Problem, say, table
from pileus.kernel.config import Configuration
from pileus.kernel.db.schema import bring_up
from pileus.kernel.runtime import Runtime
from pileus.services.identity.keystone.merge import Report
from pileus.services.identity.keystone.source import SourceError, open_source
from pileus.services.identity.keystone.takeover import Choices, take_over


def run(words: argparse.Namespace) -> None:
    """Take over, or with ``--dry-run`` say what would be done."""
    choices = Choices(words.credential_keys, words.services, words.dry_run)
    try:
        report = asyncio.run(_run(configuration(State(words.state)), words.connection, choices))
    except SourceError as error:
        raise Problem(str(error), "Nothing was changed.") from error
    tell(report, trial=words.dry_run)


async def _run(config: Configuration, connection: str, choices: Choices) -> Report:
    source = await open_source(connection)
    runtime = Runtime(config)
    try:
        await bring_up(runtime.db)
        return await take_over(runtime, source, choices)
    finally:
        await runtime.db.close()


def tell(report: Report, *, trial: bool) -> None:
    """Print the table, what was left out and why, and what was renamed."""
    table(list(report.table()), ("", "new", "changed", "same", "left out"))
    for sentence in report.left_out:
        say(f"left out: {sentence}")
    for kind, old, new in report.renamed:
        say(f"renamed: this cloud's own {kind} {old} is called {new} now; its id and its rights are what they were")
    say()
    if trial:
        say("Nothing was changed: this was a dry run.")
        return
    say("Taken over. People log in with the passwords they had; tokens of the old Keystone end with it.")
