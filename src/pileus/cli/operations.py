"""``pileus operations``: what the cloud is at work on, why something is stuck, and how to end it."""

import argparse
import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import text

from pileus.cli.settings import configuration
from pileus.cli.state import State
from pileus.cli.terminal import Problem, say, table
from pileus.kernel import clock
from pileus.kernel.db import Tx, open_database
from pileus.kernel.errors import ApiError
from pileus.kernel.operations import OperationRow, StepRow, alarms
from pileus.kernel.service import find_services

OPERATION_FIELDS = (
    *("id", "kind", "resource", "part", "state", "progress", "error", "alarm", "request_id", "project_id", "user_id"),
    *("created_at", "deadline", "finished_at"),
)
STEP_FIELDS = ("name", "state", "undone", "attempts", "error", "command", "host", "started_at", "finished_at")


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

    def find(tx: Tx) -> tuple[list[OperationRow], dict[str, str]]:
        rows = alarms.list_operations(tx, live=not words.all)
        return rows, _reasons(tx, rows)

    rows, reasons = await _in_database(url, find)
    if words.json:
        say(json.dumps([{**_shown(row), "why": reasons.get(row.id)} for row in rows], indent=2))
        return
    if not rows:
        say("Nothing is under way.")
        return
    lines = [(row.id, row.kind, row.resource, row.state, _age(row.created_at), reasons.get(row.id, "")) for row in rows]
    table(lines, ("operation", "kind", "resource", "state", "age", "why"))
    for row in rows:
        if row.alarm:
            say(f"\nAlarm: {row.alarm}")


async def show_one(url: str, words: argparse.Namespace) -> None:
    """Print one operation and the trace of its steps."""

    def find(tx: Tx) -> tuple[OperationRow, list[StepRow], str]:
        row = alarms.get_operation(tx, words.id)
        return row, alarms.list_steps(tx, row.id), _reasons(tx, [row]).get(row.id, "")

    row, steps, why = await _in_database(url, find)
    if words.json:
        say(json.dumps({**_shown(row), "why": why or None, "steps": [_shown(step) for step in steps]}, indent=2))
        return
    say(f"{row.kind} on {row.resource}: {row.state}, begun {row.created_at:%Y-%m-%d %H:%M:%S} UTC")
    facts = (("part", row.part), ("request", row.request_id), ("progress", row.progress), ("why", why))
    for label, value in facts:
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


def _shown(row: OperationRow | StepRow) -> dict[str, Any]:
    """Return what is told of a row as JSON: times in UTC, none of what only the program reads."""
    fields = STEP_FIELDS if isinstance(row, StepRow) else OPERATION_FIELDS
    values = {name: getattr(row, name) for name in fields}
    return {name: f"{value.isoformat()}Z" if isinstance(value, datetime) else value for name, value in values.items()}


async def _in_database(url: str, work: Callable[[Tx], Any], *, write: bool = False) -> Any:
    """Run ``work`` on the cloud's database, whether the server runs or not."""
    db = open_database(url)
    try:
        await db.read(lambda tx: tx.execute(text("select 1 from operations limit 1")))
        return await (db.write(work) if write else db.read(work))
    finally:
        await db.close()


def _reasons(tx: Tx, rows: list[OperationRow]) -> dict[str, str]:
    """Return why operations failed or turn back, what they wait for, or what they keep failing at, by id."""
    live = [row.id for row in rows if row.live_resource is not None]
    waiting, found = alarms.waited_for(tx, live), dict[str, str]()
    for row in rows:
        if (trouble := alarms.trouble_of(row)) is not None:
            found[row.id] = trouble
        if row.id in waiting:
            found[row.id] = f"waits for {alarms.names_of(waiting[row.id])} until {row.deadline:%H:%M:%S} UTC"
        if row.error:
            found[row.id] = f"{row.error}; {trouble}" if trouble is not None else row.error
    return found


def _age(since: datetime) -> str:
    seconds = int((clock.now() - since).total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _took(step: StepRow) -> str:
    if step.finished_at is None:
        return ""
    return f"{(step.finished_at - step.started_at).total_seconds():.3f} s"
