"""``pileus operations``: what the cloud is at work on, why something is stuck, and how to end it."""

import argparse
import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import text

from pileus.cli.agent import configuration
from pileus.cli.state import State
from pileus.cli.terminal import Problem, say, table
from pileus.kernel import clock
from pileus.kernel.db import Tx, open_database
from pileus.kernel.errors import ApiError
from pileus.kernel.operations import OperationRow, StepRow, alarms
from pileus.kernel.service import find_services


def run(words: argparse.Namespace) -> None:
    """List operations, show one, try a stuck one again, or give one up."""
    state = State(words.state)
    if words.verb != "list" and words.id is None:
        raise Problem(f"Which operation is to {words.verb}?", "`pileus operations list` names them.")
    url = configuration(state).database_url
    find_services()  # abandoning tells the resource, which its service knows how to do
    try:
        asyncio.run(VERBS[words.verb](url, words))
    except ApiError as error:
        raise Problem(error.message) from error


async def show_list(url: str, words: argparse.Namespace) -> None:
    """Print live operations, or all that are remembered; alarms in full."""
    rows = await _in_database(url, lambda tx: alarms.list_operations(tx, live=not words.all))
    if not rows:
        say("Nothing is under way.")
        return
    lines = [(row.id, row.kind, row.resource, row.state, _age(row.created_at), _why(row)) for row in rows]
    table(lines, ("operation", "kind", "resource", "state", "age", "why"))
    for row in rows:
        if row.alarm:
            say(f"\nAlarm: {row.alarm}")


async def show_one(url: str, words: argparse.Namespace) -> None:
    """Print one operation and the trace of its steps."""

    def find(tx: Tx) -> tuple[OperationRow, list[StepRow]]:
        return alarms.get_operation(tx, words.id), alarms.list_steps(tx, words.id)

    row, steps = await _in_database(url, find)
    say(f"{row.kind} on {row.resource}: {row.state}, begun {row.created_at:%Y-%m-%d %H:%M:%S} UTC")
    for label, value in (("request", row.request_id), ("progress", row.progress), ("why", _why(row))):
        if value:
            say(f"  {label}: {value}")
    if row.alarm:
        say(f"  alarm: {row.alarm}")
    lines = [
        (step.name, "undone" if step.undone else step.state, _took(step), str(step.attempts or ""), step.error or "")
        for step in steps
    ]
    if lines:
        say()
        table(lines, ("step", "state", "took", "failures", "last failure"))


async def retry(url: str, words: argparse.Namespace) -> None:
    """Have a stuck operation's undo tried again now."""
    await _in_database(url, lambda tx: alarms.retry(tx, words.id), write=True)
    say(f"Operation {words.id} will be tried again within seconds.")


async def abandon(url: str, words: argparse.Namespace) -> None:
    """Give an operation up: its resource is free, what its steps have made stays."""
    left = await _in_database(url, lambda tx: alarms.abandon(tx, words.id), write=True)
    say(f"Operation {words.id} is given up. Not undone: {', '.join(left) or 'nothing'}.")


VERBS: dict[str, Callable[[str, argparse.Namespace], Any]] = {
    "list": show_list,
    "show": show_one,
    "retry": retry,
    "abandon": abandon,
}


async def _in_database(url: str, work: Callable[[Tx], Any], *, write: bool = False) -> Any:
    """Run ``work`` on the cloud's database, whether the server runs or not."""
    db = open_database(url)
    try:
        await db.read(lambda tx: tx.execute(text("select 1 from operations limit 1")))
        return await (db.write(work) if write else db.read(work))
    finally:
        await db.close()


def _why(row: OperationRow) -> str:
    """Return why an operation failed or is being undone, and what it is waiting for while it is tried again."""
    words = [row.error] if row.error else []
    if row.next_at is not None:
        wait_s = max(0, round((row.next_at - clock.now()).total_seconds()))
        words.append(f"refused {row.tries} times, tried again in {wait_s} s: {row.last_refusal}")
    return "; ".join(words)


def _age(since: datetime) -> str:
    seconds = int((clock.now() - since).total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _took(step: StepRow) -> str:
    if step.finished_at is None:
        return ""
    return f"{(step.finished_at - step.started_at).total_seconds():.3f} s"
