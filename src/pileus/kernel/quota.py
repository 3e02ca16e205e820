"""Quota: limits are rows, usage is a query; both are read in the transaction that wants more.

Rule: there is no usage counter to drift.  A service declares a ``Limit`` with the query that counts what is used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, bindparam, delete, select
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


def limits_of(tx: Tx, project_id: str, limits: Mapping[str, Limit]) -> dict[str, int]:
    """Return the limits in force for a project, by name; -1 is no limit."""
    service = next(iter(limits.values())).service
    owners = (project_id, f"class:{DEFAULT_CLASS}")
    tx.flush()
    rows = tx.connection().execute(_LIMITS, {"one": owners[0], "all": owners[1], "service": service}).all()
    found = {limit.name: limit.default for limit in limits.values()}
    for owner in reversed(owners):
        found.update({row.name: row.hard_limit for row in rows if row.project_id == owner and row.name in found})
    return found


_limit: Any = QuotaLimit.__table__
_LIMITS = select(_limit.c.project_id, _limit.c.name, _limit.c.hard_limit).where(
    _limit.c.project_id.in_([bindparam("one"), bindparam("all")]), _limit.c.service == bindparam("service")
)


def set_limits(tx: Tx, project_id: str, service: str, values: Mapping[str, int]) -> None:
    """Give a project (or ``class:default``) limits of its own."""
    for name, value in values.items():
        row = tx.get(QuotaLimit, (project_id, service, name))
        if row is None:
            tx.add(QuotaLimit(project_id=project_id, service=service, name=name, hard_limit=value))
        else:
            row.hard_limit = value
    tx.flush()


def reset(tx: Tx, project_id: str, service: str) -> None:
    """Put a project back on the defaults."""
    tx.execute(delete(QuotaLimit).where(QuotaLimit.project_id == project_id, QuotaLimit.service == service))


def claim(tx: Tx, project_id: str, limits: Mapping[str, Limit], wanted: Mapping[str, int]) -> None:
    """Raise OverQuota unless the project may have ``wanted`` more; call it before adding the rows.

    The claim holds because it runs in the same serializable transaction that adds the rows.
    """
    in_force = limits_of(tx, project_id, limits)
    for name, amount in wanted.items():
        ceiling = in_force[name]
        if amount <= 0 or ceiling == UNLIMITED:
            continue
        used = limits[name].used(tx, project_id)
        if used + amount > ceiling:
            raise OverQuota(
                f"Quota exceeded for {name}: Requested {amount}, but already used {used} of {ceiling} {name}. "
                "Delete some, or ask the operator for a higher quota.",
                kind="OverQuota",
            )


def usage(tx: Tx, project_id: str, limits: Mapping[str, Limit]) -> dict[str, int]:
    """Return what a project uses of each limit."""
    return {name: limit.used(tx, project_id) for name, limit in limits.items()}
