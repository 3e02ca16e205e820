"""Options of users, projects, domains and roles: how a change of them counts, and what an immutable thing refuses."""

from typing import Any, Protocol

from pileus.kernel.errors import Forbidden

IMMUTABLE = "immutable"


class WithOptions(Protocol):
    id: Any
    options: Any


def merge(row: WithOptions, given: dict[str, Any]) -> None:
    """Set options; one that is None is forgotten."""
    merged = {**row.options, **given}
    row.options = {name: value for name, value in merged.items() if value is not None}


def refuse_immutable(noun: str, row: WithOptions, given: dict[str, Any]) -> None:
    """Raise Forbidden for a change of what is immutable, unless it does nothing but end that."""
    if row.options.get(IMMUTABLE) and (set(given) != {"options"} or given["options"].get(IMMUTABLE, True)):
        raise Forbidden(f"Cannot change {noun} {row.id}: it is immutable. Set its option immutable to false first.")
