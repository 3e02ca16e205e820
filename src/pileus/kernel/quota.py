"""Quota: limits are rows, usage is a query; both are read in the transaction that wants more.

Rule: there is no usage counter to drift.  A service declares a ``Limit`` with the query that counts what is used.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, bindparam, delete, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row, Tx
from pileus.kernel.errors import OverQuota

UNLIMITED = -1
DEFAULT_CLASS = "default"


class QuotaLimit(Row):
    """A limit that differs from the declared default; ``project_id`` may be ``class:default`` for all projects."""

    __tablename__ = "quota_limits"
    project_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    service: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    hard_limit: Mapped[int]


@dataclass(frozen=True)
class Limit:
    """One limited resource of a service; ``used(tx, project_id)`` counts what the project has now."""

    service: str
    name: str
    default: int
    used: Callable[[Tx, str], int]

    def __post_init__(self) -> None:
        _declared.setdefault(self.service, set()).add(self.name)


_declared: dict[str, set[str]] = {}


def declared(service: str) -> frozenset[str]:
    """Return the names of the limits of a service; none when it has none."""
    return frozenset(_declared.get(service, ()))


@dataclass(frozen=True)
class Claim:
    """What a transaction wanted of one limit, and what was there before."""

    service: str
    name: str
    project_id: str
    wanted: int
    used: int
    limit: int


_NOTES = "noted_claims"


def limits_of(tx: Tx, project_id: str, limits: Mapping[str, Limit]) -> dict[str, int]:
    """Return the limits in force for a project, by name; -1 is no limit."""
    service = next(iter(limits.values())).service
    owners = (project_id, f"class:{DEFAULT_CLASS}")
    known = tx.info.setdefault(_KNOWN, {})
    rows = known.get(project_id)
    if rows is None:
        rows = known[project_id] = tx.connection().execute(_LIMITS, {"one": owners[0], "all": owners[1]}).all()
    found = {limit.name: limit.default for limit in limits.values()}
    for owner in reversed(owners):
        found.update({name: value for who, of, name, value in rows if who == owner and of == service and name in found})
    return found


_limit: Any = QuotaLimit.__table__
_LIMITS = select(_limit.c.project_id, _limit.c.service, _limit.c.name, _limit.c.hard_limit).where(
    or_(_limit.c.project_id == bindparam("one"), _limit.c.project_id == bindparam("all"))
)
"""Of all services at once: one request often claims of several."""
_KNOWN = "quota_limits"


def set_limits(tx: Tx, project_id: str, service: str, values: Mapping[str, int]) -> None:
    """Give a project (or ``class:default``) limits of its own."""
    for name, value in values.items():
        row = tx.get(QuotaLimit, (project_id, service, name))
        if row is None:
            tx.add(QuotaLimit(project_id=project_id, service=service, name=name, hard_limit=value))
        else:
            row.hard_limit = value
    tx.flush()
    tx.info.pop(_KNOWN, None)


def reset(tx: Tx, project_id: str, service: str) -> None:
    """Put a project back on the defaults."""
    tx.execute(delete(QuotaLimit).where(QuotaLimit.project_id == project_id, QuotaLimit.service == service))
    tx.info.pop(_KNOWN, None)


def claim(tx: Tx, project_id: str, limits: Mapping[str, Limit], wanted: Mapping[str, int]) -> None:
    """Raise OverQuota unless the project may have ``wanted`` more; call it before adding the rows.

    The claim holds because it runs in the same serializable transaction that adds the rows.
    """
    in_force = limits_of(tx, project_id, limits)
    notes: list[Claim] | None = tx.info.get(_NOTES)
    for name, amount in wanted.items():
        ceiling = in_force[name]
        if notes is not None and amount > 0:
            used = limits[name].used(tx, project_id)
            notes.append(Claim(limits[name].service, name, project_id, amount, used, ceiling))
        if amount <= 0 or ceiling == UNLIMITED:
            continue
        used = limits[name].used(tx, project_id)
        if used + amount > ceiling:
            raise OverQuota(
                f"Quota exceeded for {name}: Requested {amount}, but already used {used} of {ceiling} {name}. "
                "Delete some, or ask the operator for a higher quota.",
                kind="OverQuota",
            )


@contextmanager
def noting_claims(tx: Tx) -> Iterator[list[Claim]]:
    """Collect what is claimed in this transaction, for a rehearsal of it."""
    notes = tx.info[_NOTES] = []
    try:
        yield notes
    finally:
        del tx.info[_NOTES]


def usage(tx: Tx, project_id: str, limits: Mapping[str, Limit]) -> dict[str, int]:
    """Return what a project uses of each limit."""
    return {name: limit.used(tx, project_id) for name, limit in limits.items()}
