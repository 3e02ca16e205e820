"""Whose turn it is: which operations on one resource wait for which.

Rule: an operation waits only for such as stood in line before it, so no two can wait for each other.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import bindparam, or_, select

from pileus.kernel.db import Tx
from pileus.kernel.operations.model import OperationRow

_table: Any = OperationRow.__table__
_ahead = _table.alias("ahead")


class InLine(msgspec.Struct, frozen=True):
    """A live operation as those behind it see it; ``part`` is what of the resource it changes, None all of it."""

    id: str
    kind: str
    state: str
    part: str | None
    turn: int
    deadline: datetime

    def hinders(self, part: str | None) -> bool:
        """Tell whether an operation on ``part`` that comes after this one has to wait for it."""
        return part is None or self.part is None or part == self.part


_COLUMNS = ("id", "kind", "state", "part", "turn", "deadline")
_LINE = (
    select(*(_table.c[name] for name in _COLUMNS))
    .where(_table.c.resource == bindparam("of"), _table.c.live_resource.is_not(None))
    .order_by(_table.c.turn, _table.c.live_resource)
)
_hinders = (
    _ahead.c.resource == _table.c.resource,
    _ahead.c.live_resource.is_not(None),
    _ahead.c.turn < _table.c.turn,
    or_(_ahead.c.part.is_(None), _table.c.part.is_(None), _ahead.c.part == _table.c.part),
)
hindered = select(_ahead.c.id).where(*_hinders).exists()
"""The condition that an operation's turn has not come; never true of one that takes no turns."""
_WAITING = (
    select(_table.c.id.label("behind"), *(_ahead.c[name] for name in _COLUMNS))
    .join_from(_table, _ahead, _hinders[0])
    .where(*_hinders[1:], _table.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(_ahead.c.turn)
)


def line_of(tx: Tx, resource: str) -> list[InLine]:
    """Return the live operations of a resource in the order of their turns."""
    return [InLine(*row) for row in tx.connection().execute(_LINE, {"of": resource})]


def ahead_of(line: Iterable[InLine], part: str | None) -> list[InLine]:
    """Return those of a line that an operation on ``part`` has to wait for when it joins the line's end."""
    return [one for one in line if one.hinders(part)]


def waited_for(tx: Tx, ids: Sequence[str]) -> dict[str, list[InLine]]:
    """Return what each of some operations waits for, by id; those whose turn has come are left out."""
    found: dict[str, list[InLine]] = {}
    for behind, *ahead in tx.connection().execute(_WAITING, {"ids": list(ids)}) if ids else ():
        found.setdefault(behind, []).append(InLine(*ahead))
    return found


def names_of(line: Iterable[InLine]) -> str:
    """Return operations as a sentence names them."""
    return ", ".join(f"{one.kind} ({one.id})" for one in line)
