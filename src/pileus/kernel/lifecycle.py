"""State machines: the verbs of a resource, each with the states it may start from and the one it ends in.

Rule: the task label is set where an operation begins and cleared where it is concluded, by compare-and-swap in
those transactions, and nowhere else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update

from pileus.kernel.db import Row, Tx
from pileus.kernel.errors import Conflict, NotFound


class WrongState(Conflict):
    """The verb is not allowed in the resource's present state."""


@dataclass(frozen=True)
class Verb:
    """One way to change a resource; while it runs the resource shows ``label`` as its task."""

    lifecycle: "Lifecycle"
    name: str
    start: frozenset[str]
    label: str
    end: str | None

    def begin(self, tx: Tx, id: str, **values: Any) -> None:
        """Claim the resource for this verb, if its state allows it, and set further columns.

        Raises ``WrongState`` naming the present state and the allowed ones, ``NotFound`` if there is no such row.
        """
        of = self.lifecycle
        matching = [of.column(of.task).is_(None), of.column(of.status).in_(sorted(self.start))]
        if not of.change(tx, id, matching, {of.task: self.label, **values}):
            raise self._refusal(tx, id)

    def finish(self, tx: Tx, id: str, **values: Any) -> bool:
        """End the verb: its end state (or the status given), no label; return whether it still held the label."""
        of = self.lifecycle
        end = {} if self.end is None else {of.status: self.end}
        return of.change(tx, id, [of.column(of.task) == self.label], {of.task: None, **end, **values})

    def fail(self, tx: Tx, id: str, **values: Any) -> bool:
        """Take the label away after the verb has been undone, keeping the status unless one is given."""
        of = self.lifecycle
        return of.change(tx, id, [of.column(of.task) == self.label], {of.task: None, **values})

    def allowed(self, status: str, task: str | None = None) -> bool:
        """Tell whether the verb could begin: what a view or a dashboard shows as possible."""
        return task is None and status in self.start

    def _refusal(self, tx: Tx, id: str) -> Conflict | NotFound:
        of = self.lifecycle
        present = tx.execute(select(of.column(of.status), of.column(of.task)).where(of.column(of.id) == id)).first()
        if present is None:
            return NotFound(f"{of.what.capitalize()} {id} could not be found.")
        status, task = present
        if task is not None:
            return WrongState(
                f"Cannot '{self.name}' {of.what} {id} while it is {task}; wait until that has ended and try again.",
                state=status,
                task=task,
            )
        return WrongState(
            f"Cannot '{self.name}' {of.what} {id} while it is in state {status}; "
            f"it can be done in: {', '.join(sorted(self.start)) or 'no state'}.",
            state=status,
            task=None,
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

    def verb(self, name: str, start: set[str], label: str, end: str | None = None) -> Verb:
        """Add a verb to the table; ``end`` is ``None`` where the state stays or ``finish`` is told it."""
        if name in self.verbs:
            raise ValueError(f"{self.what} has the verb {name} already")
        self.verbs[name] = Verb(self, name, frozenset(start), label, end)
        return self.verbs[name]

    def column(self, name: str) -> Any:
        """Return the row's attribute of that name."""
        return getattr(self.row, name)

    def change(self, tx: Tx, id: str, matching: list[Any], values: Mapping[str, Any]) -> bool:
        """Update the row if it matches; return whether it did."""
        tx.flush()
        done = tx.execute(update(self.row).where(self.column(self.id) == id, *matching).values(**values))
        return done.rowcount == 1  # type: ignore[attr-defined]

    def table(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield (verb, from, label, to) for documentation."""
        for verb in self.verbs.values():
            yield verb.name, ", ".join(sorted(verb.start)), verb.label, verb.end or "as it was"
