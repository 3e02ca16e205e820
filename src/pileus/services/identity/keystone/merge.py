"""Bringing rows in: added, changed, left as they are, or left out with a reason; all of it counted.

Rule: nothing is removed, so taking over once more only brings what has changed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import inspect, select

from pileus.kernel.db import Row, Tx


@dataclass
class Report:
    """What was done, or would be: counts by kind and outcome, and sentences."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, old name and new name of rows of this cloud that stood in the way."""

    def count(self, kind: str, outcome: str) -> None:
        self.counts[kind, outcome] += 1

    def leave_out(self, kind: str, sentence: str) -> None:
        self.counts[kind, "left out"] += 1
        self.left_out.append(sentence)

    def table(self) -> list[tuple[str, ...]]:
        """Return a line for each kind: name, new, changed, same, left out."""
        kinds = dict.fromkeys(kind for kind, _ in self.counts)
        outcomes = ("new", "changed", "same", "left out")
        return [(kind, *(str(self.counts[kind, outcome] or "") for outcome in outcomes)) for kind in kinds]


class Merge:
    """Rows of this cloud, read once for each kind."""

    def __init__(self, tx: Tx, report: Report) -> None:
        self.tx = tx
        self.report = report
        self._there: dict[type[Row], dict[tuple[Any, ...], Row]] = {}

    def rows(self, kind: type[Row]) -> dict[tuple[Any, ...], Any]:
        """Return every row of a kind by its primary key."""
        found = self._there.get(kind)
        if found is None:
            keys = [self._attribute(kind, column.name) for column in kind.__table__.primary_key]
            found = {tuple(getattr(row, key) for key in keys): row for row in self.tx.scalars(select(kind))}
            self._there[kind] = found
        return found

    @staticmethod
    def _attribute(kind: type[Row], column: str) -> str:
        return inspect(kind).get_property_by_column(kind.__table__.columns[column]).key

    def put(self, label: str, kind: type[Row], key: Mapping[str, Any], /, **values: Any) -> Any:
        """Add a row, or give the one that is there these values; return it."""
        rows = self.rows(kind)
        row = rows.get(tuple(key.values()))
        if row is None:
            row = kind(**key, **values)
            self.tx.add(row)
            rows[tuple(key.values())] = row
            self.report.count(label, "new")
            return row
        differing = {column: value for column, value in values.items() if getattr(row, column) != value}
        for column, value in differing.items():
            setattr(row, column, value)
        self.report.count(label, "changed" if differing else "same")
        return row

    def give_way(self, name: str, kind: type[Any], wanted: Mapping[str, tuple[str, str]]) -> None:
        """Rename rows of this cloud whose names are those of others that come in: ``admin`` to ``pileus-admin``.

        ``wanted`` maps an id to the domain and the name it comes with.
        """
        coming = set(wanted.values())
        taken = {(row.domain_id, row.name) for row in self.rows(kind).values()} | coming
        for row in self.rows(kind).values():
            if row.id in wanted or (row.domain_id, row.name) not in coming:
                continue
            old, new = row.name, f"pileus-{row.name}"[:64]
            while (row.domain_id, new) in taken:
                new = f"pileus-{new}"[:64]
            row.name = new
            taken.add((row.domain_id, new))
            self.report.renamed.append((name, old, new))
        self.tx.flush()
