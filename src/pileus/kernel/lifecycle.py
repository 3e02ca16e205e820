"""State machines: the verbs of a resource, each with the states it may start from and the one it ends in.

Rule: the task label is set where an operation begins and cleared where it is concluded, by compare-and-swap in
those transactions, and nowhere else.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Update, bindparam, inspect, or_, select, update
from sqlalchemy.orm.attributes import set_committed_value

from pileus.kernel.db import Row, Tx
from pileus.kernel.errors import Conflict, NotFound


class WrongState(Conflict):
    """The verb is not allowed in the resource's present state."""


Expected = tuple[frozenset[str | None], frozenset[str] | None]
"""The tasks one of which a row must be at (``None``: at none), and the states likewise (``None``: any)."""


@functools.cache
def _change(
    row: type[Row], columns: tuple[str, str, str], expected: Expected | None, changed: tuple[str, ...]
) -> Update:
    """Return the compare-and-swap of one verb, built once for each set of columns it changes."""
    table: Any = inspect(row).local_table
    attributes = inspect(row).columns
    id, task, status = (attributes[name] for name in columns)
    matching = [id == bindparam("of")]
    if expected is not None:
        tasks, states = expected
        labels = sorted(label for label in tasks if label is not None)
        matching.append(or_(*([task.is_(None)] if None in tasks else []), *([task.in_(labels)] if labels else [])))
        matching += [] if states is None else [status.in_(sorted(states))]
    return update(table).where(*matching).values({attributes[name]: bindparam(f"new_{name}") for name in changed})


@dataclass(frozen=True)
class Verb:
    """One way to change a resource; while it runs the resource shows ``label`` as its task."""

    lifecycle: "Lifecycle"
    name: str
    start: frozenset[str]
    label: str
    end: str | None
    over: frozenset[str] = frozenset()
    """Labels of verbs at work which this one may follow at once: it takes their label's place."""

    def begin(self, tx: Tx, id: str, **values: Any) -> None:
        """Claim the resource for this verb, if its state allows it, and set further columns.

        Raises ``WrongState`` naming the present state and the allowed ones, ``NotFound`` if there is no such row.
        """
        of = self.lifecycle
        if not of.change(tx, id, (frozenset({None, *self.over}), self.start), {of.task: self.label, **values}):
            raise self._refusal(tx, id)

    def finish(self, tx: Tx, id: str, **values: Any) -> bool:
        """End the verb: its end state (or the status given), no label; return whether it still held the label."""
        of = self.lifecycle
        end = {} if self.end is None else {of.status: self.end}
        return of.change(tx, id, (frozenset({self.label}), None), {of.task: None, **end, **values})

    def fail(self, tx: Tx, id: str, **values: Any) -> bool:
        """Take the label away after the verb has been undone, keeping the status unless one is given."""
        of = self.lifecycle
        return of.change(tx, id, (frozenset({self.label}), None), {of.task: None, **values})

    def allowed(self, status: str, task: str | None = None) -> bool:
        """Tell whether the verb could begin: what a view or a dashboard shows as possible."""
        return (task is None or task in self.over) and status in self.start

    def _refusal(self, tx: Tx, id: str) -> Conflict | NotFound:
        of = self.lifecycle
        present = tx.execute(select(of.column(of.status), of.column(of.task)).where(of.column(of.id) == id)).first()
        if present is None:
            return NotFound(f"{of.what.capitalize()} {id} could not be found.")
        status, task = present
        if task is not None and task not in self.over:
            return WrongState(
                f"Cannot '{self.name}' {of.what} {id} while it is {task}; wait until that has ended and try again.",
                state=status,
                task=task,
            )
        return WrongState(
            f"Cannot '{self.name}' {of.what} {id} while it is in state {status}; "
            f"it can be done in: {', '.join(sorted(self.start)) or 'no state'}.",
            state=status,
            task=task,
        )


@dataclass
class Lifecycle:
    """The table of verbs of one resource; printed into its README and walked by its tests.

    ``status``, ``task`` and ``id`` name the row's columns.
    """

    row: type[Row]
    what: str
    status: str = "status"
    task: str = "task_state"
    id: str = "id"
    verbs: dict[str, Verb] = field(default_factory=dict)

    def verb(
        self, name: str, start: set[str], label: str, end: str | None = None, *, over: frozenset[str] = frozenset()
    ) -> Verb:
        """Add a verb to the table; ``end`` is ``None`` where the state stays or ``finish`` is told it.

        ``over``: labels of verbs at work which it may follow without waiting for their end.
        """
        if name in self.verbs:
            raise ValueError(f"{self.what} has the verb {name} already")
        self.verbs[name] = Verb(self, name, frozenset(start), label, end, over)
        return self.verbs[name]

    def column(self, name: str) -> Any:
        """Return the row's attribute of that name."""
        return getattr(self.row, name)

    def change(self, tx: Tx, id: str, expected: Expected | None, values: Mapping[str, Any]) -> bool:
        """Update the row if it is as expected (None: whatever it is); return whether it was."""
        tx.flush()
        statement = _change(self.row, (self.id, self.task, self.status), expected, tuple(values))
        given = {f"new_{name}": value for name, value in values.items()}
        if tx.connection().execute(statement, {"of": id, **given}).rowcount != 1:
            return False
        known = tx.identity_map.get((self.row, (id,), None))
        if known is not None:
            for name, value in values.items():
                set_committed_value(known, name, value)
        return True

    def table(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield (verb, from, label, to) for documentation."""
        for verb in self.verbs.values():
            yield verb.name, ", ".join(sorted(verb.start)), verb.label, verb.end or "as it was"
