"""``pileus explain REQUEST-ID``: what one request did, from its arrival to the end of all that it began."""

import argparse
import asyncio
import json

from pileus.cli.logs import readable
from pileus.cli.settings import configuration
from pileus.cli.state import ROLES, State
from pileus.cli.terminal import Problem, say, table
from pileus.kernel.db import open_database
from pileus.kernel.requests import Trace, trace
from pileus.kernel.rest.explain import OperationView, RequestView, request_view


def run(words: argparse.Namespace) -> None:
    """Print the request, its operations with their steps, its events, and what the logs say of it."""
    state = State(words.state)
    found = asyncio.run(_find(configuration(state).database_url, words.id))
    lines = logged(state, words.id)
    if found is None and not lines:
        raise Problem(
            f"Nothing is known of request {words.id}.",
            "Every answer names its request in the header x-openstack-request-id; what it wrote is kept for a week.",
        )
    if found is not None:
        show(request_view(found, hosts=True))
    if lines:
        say("\nlogged:")
        for role, line in lines:
            say(f"  {readable(role, line)}")


async def _find(url: str, id: str) -> Trace | None:
    """Look into the cloud's database, whether the server runs or not."""
    db = open_database(url)
    try:
        return await db.read(trace, id)
    finally:
        await db.close()


def logged(state: State, id: str) -> list[tuple[str, str]]:
    """Return the log lines of a request, of all roles, in order of time."""
    found = []
    for role in ROLES:
        path = state.log(role)
        if path.exists():
            with path.open(errors="replace") as file:
                found += [(_time(line), role, line.rstrip("\n")) for line in file if id in line]
    return [(role, line) for _, role, line in sorted(found)]


def _time(line: str) -> str:
    try:
        return str(json.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return ""


def show(request: RequestView) -> None:
    """Print a request."""
    what = f"{request.method} {request.path}" if request.method else "(its first line is not remembered)"
    say(f"{request.id}  {what}: {request.state}{f', status {request.status}' if request.status else ''}")
    for label, value in (
        ("at", f"{request.at:%Y-%m-%d %H:%M:%S} UTC" if request.at else None),
        ("project", request.project_id),
        ("user", request.user_id),
        ("refused", request.refusal),
        ("repeats", request.replays),
    ):
        if value:
            say(f"  {label}: {value}")
    for operation in request.operations:
        show_operation(operation)
    if request.events:
        say("\nevents:")
        table([(f"  {event.at:%H:%M:%S.%f}", event.kind, event.resource_id) for event in request.events])


def show_operation(operation: OperationView) -> None:
    """Print an operation and its steps."""
    took = "" if operation.seconds is None else f" in {operation.seconds:.3f} s"
    say(f"\n{operation.kind} on {operation.resource}: {operation.state}{took}  ({operation.id})")
    for label, value in (("progress", operation.progress), ("why", operation.error), ("alarm", operation.alarm)):
        if value:
            say(f"  {label}: {value}")
    rows = [
        (
            f"  {step.name}",
            step.state,
            "" if step.seconds is None else f"{step.seconds:.3f} s",
            f"{step.command} on {step.host}" if step.command else "",
            f"failed {step.attempts} times, last: {step.error}" if step.error else "",
        )
        for step in operation.steps
    ]
    if rows:
        table(rows, ("  step", "state", "took", "command", ""))
