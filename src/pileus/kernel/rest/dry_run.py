"""``?dry_run=true``: run a write to its end, note what it did, roll everything back.

Rule: what is told is what really happened in the transaction (its statements, its claims), never a guess.  Values are
left out: the answer that would have been given shows what its reader may see, a table may hold more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, event
from sqlalchemy.sql.dml import Delete, Insert, Update

from pileus.kernel.context import Context
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import ApiError, Unauthenticated
from pileus.kernel.quota import Claim, noting_claims
from pileus.kernel.rest.binding import Work
from pileus.kernel.rest.http import Response, json_response

VERBS = {Insert: "create", Update: "update", Delete: "delete"}
BOOKKEEPING = frozenset({"operations", "operation_steps", "events", "requests", "idempotency_keys"})
"""Tables of the kernel's own; what they hold is told in words of its own or is of no interest."""


class Change(msgspec.Struct):
    """Rows of one table that would be written."""

    action: str
    table: str
    ids: list[str]
    rows: int
    fields: list[str] = []


class Begun(msgspec.Struct):
    """An operation that would begin after the commit."""

    kind: str
    resource: str
    deadline_s: int


class Told(msgspec.Struct):
    """An event that would be written."""

    kind: str
    resource_id: str


class Refusal(msgspec.Struct):
    """Why it would be refused."""

    status: int
    title: str
    message: str


class Report(msgspec.Struct):
    """What a write would do."""

    status: int
    """The status that would be answered."""
    answer: Any = None
    """The body that would be answered; ids in it are not kept."""
    refused: Refusal | None = None
    changes: list[Change] = []
    claims: list[Claim] = []
    operations: list[Begun] = []
    events: list[Told] = []


class _RolledBack(Exception):
    """Carries the report out of the transaction, which is undone on the way."""

    def __init__(self, report: Report) -> None:
        super().__init__("dry run")
        self.report = report


async def rehearse(db: Database, ctx: Context, work: Work) -> Response:
    """Return the report of ``work``, a refusal of it included; only Unauthenticated is raised."""

    def perform(tx: Tx) -> None:
        report = Report(200)
        with noting_claims(tx) as claims, _noting_statements(tx, report):
            try:
                response = work(tx)
                tx.flush()
                report.status, report.answer = response.status, _document(response)
            except Unauthenticated:
                raise
            except ApiError as error:
                report.status, report.refused = error.status, _refusal(error)
        report.claims = claims
        raise _RolledBack(report)

    try:
        await db.write(perform)
    except _RolledBack as done:
        return _told(done.report)
    raise AssertionError("a rehearsal always ends in a rollback")


def refused(error: ApiError) -> Response:
    """Return the report of a write that is refused before it comes to its transaction."""
    return _told(Report(error.status, refused=_refusal(error)))


def _told(report: Report) -> Response:
    return json_response({"dry_run": report}, 200, [("Cache-Control", "no-store")])


def _refusal(error: ApiError) -> Refusal:
    return Refusal(error.status, error.title, error.message)


def _document(response: Response) -> Any:
    is_json = response.media_type is not None and "json" in response.media_type
    if not is_json or not isinstance(response.body, bytes) or not response.body:
        return None
    return msgspec.json.decode(response.body)


@contextmanager
def _noting_statements(tx: Tx, report: Report) -> Iterator[None]:
    connection = tx.connection()

    def note(connection: Connection, statement: Any, many: Any, one: Any, options: Any, result: Any) -> None:
        verb = next((verb for kind, verb in VERBS.items() if isinstance(statement, kind)), None)
        if verb is not None:
            rows = result.context.compiled_parameters or [{}]  # with what the columns' defaults have added
            _note(report, verb, str(statement.table.name), statement, rows, result.rowcount)

    event.listen(connection, "after_execute", note)
    try:
        yield
    finally:
        event.remove(connection, "after_execute", note)


def _note(report: Report, verb: str, table: str, statement: Any, rows: list[dict[str, Any]], count: int) -> None:
    if table == "operations" and verb == "create":
        report.operations += [_begun(row) for row in rows]
    elif table == "events" and verb == "create":
        report.events += [Told(row["kind"], row["resource_id"]) for row in rows if "kind" in row]
    elif table not in BOOKKEEPING and count != 0:
        _note_change(report, verb, table, statement, rows, count)


def _begun(row: dict[str, Any]) -> Begun:
    patience = row["deadline"] - row["created_at"]
    return Begun(row["kind"], row["resource"], round(patience.total_seconds()))


def _note_change(report: Report, verb: str, table: str, statement: Any, rows: list[dict[str, Any]], count: int) -> None:
    known = statement.table.columns
    named = set(statement.compile().params) if verb == "update" else set()
    ids: list[str] = []
    fields: set[str] = set()
    for row in rows:
        id = row.get("id", row.get(f"{table}_id"))
        ids += [str(id)] if id is not None else []
        if verb == "update":
            fields |= {str(name) for name in {*row, *named} if name in known and name != "id"}
    last = report.changes[-1] if report.changes else None
    if last is not None and (last.action, last.table) == (verb, table):
        last.ids += ids
        last.rows += max(count, len(rows)) if verb == "create" else max(count, 0)
        last.fields = sorted({*last.fields, *fields})
        return
    number = max(count, len(rows)) if verb == "create" else max(count, 0)
    report.changes.append(Change(verb, table, ids, number, sorted(fields)))
