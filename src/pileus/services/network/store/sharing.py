"""Who may see and use what belongs to another project.

Rule: an RBAC entry is the only way; ``shared`` and ``router:external`` of a network are read from the entries.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, literal, or_, select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx, ask
from pileus.services.network.model import EVERYBODY, EXTERNAL, SHARED, Network, Share


def sees_all(ctx: Context) -> bool:
    """Tell whether the caller sees every project's things."""
    return ctx.is_admin or "service" in ctx.roles


def shared_ids(kind: str, project_id: str, actions: Iterable[str]) -> Any:
    """Return the statement of the ids that a project may use by RBAC entries of these actions."""
    return select(Share.object_id).where(
        Share.object_type == kind,
        Share.target_project.in_((project_id, EVERYBODY)),
        Share.action.in_(tuple(actions)),
    )


def own_or_shared(row: Any, kind: str, *actions: str) -> Any:
    """Return ``visible(ctx)`` for rows that are seen by their owner and by whom they are shared with."""

    def visible(ctx: Context) -> ColumnElement[bool] | None:
        if sees_all(ctx):
            return None
        return or_(row.project_id == ctx.project_id, row.id.in_(shared_ids(kind, ctx.project_id, actions)))

    return visible


def own_networks(project_id: str) -> Any:
    """Return the statement of the ids of a project's own networks."""
    return select(Network.id).where(Network.project_id == project_id)


_share: Any = Share.__table__
_ACTIONS = select(_share.c.object_id, _share.c.action).where(
    _share.c.object_type == bindparam("kind"),
    _share.c.target_project.in_([bindparam("project"), literal(EVERYBODY)]),
    _share.c.object_id.in_(bindparam("ids", expanding=True)),
)
_EXTERNAL_IDS = select(_share.c.object_id).where(_share.c.object_type == "network", _share.c.action == EXTERNAL)


def share_actions(tx: Tx, kind: str, ids: Sequence[str], project_id: str) -> dict[str, set[str]]:
    """Return, by object, what everybody or this project may do with it by RBAC entries."""
    found: dict[str, set[str]] = {}
    rows: Any = ask(tx, _ACTIONS, {"kind": kind, "project": project_id, "ids": ids})
    for object_id, action in rows:
        found.setdefault(object_id, set()).add(action)
    return found


def is_external(tx: Tx, network_id: str) -> bool:
    """Tell whether anybody may use a network as an external one."""
    statement = select(Share.id).where(Share.object_id == network_id, Share.action == EXTERNAL).limit(1)
    return tx.scalar(statement) is not None


def external_networks() -> Any:
    """Return the statement of the ids of all external networks, whoever may use them as such."""
    return _EXTERNAL_IDS


def external_ids(tx: Tx) -> set[str]:
    """Return the ids of all external networks."""
    tx.flush()
    return set(tx.connection().execute(_EXTERNAL_IDS).scalars())


def may_use(tx: Tx, ctx: Context, kind: str, row: Any, *actions: str) -> bool:
    """Tell whether the caller owns a thing, sees everything, or may use it by an RBAC entry of these actions."""
    if sees_all(ctx) or row.project_id == ctx.project_id:
        return True
    return not share_actions(tx, kind, [row.id], ctx.project_id).get(row.id, set()).isdisjoint(actions)


def everybody(tx: Tx, kind: str, object_id: str, action: str) -> Share | None:
    """Return the entry that gives a thing to everybody, if there is one."""
    return tx.scalar(
        select(Share).where(
            Share.object_type == kind,
            Share.object_id == object_id,
            Share.target_project == EVERYBODY,
            Share.action == action,
        )
    )


def shares_of(tx: Tx, object_id: str) -> Sequence[Share]:
    """Return all entries of a thing."""
    return tx.scalars(select(Share).where(Share.object_id == object_id)).all()


def delete_shares(tx: Tx, object_id: str, action: str | None = None) -> None:
    """Remove all entries of a thing, or those of one action."""
    here = [Share.object_id == object_id, *([Share.action == action] if action else [])]
    tx.execute(delete(Share).where(*here))


def set_everybody(tx: Tx, kind: str, row: Any, action: str, wanted: bool) -> None:
    """Give a thing to everybody, or take that back."""
    entry = everybody(tx, kind, row.id, action)
    if wanted and entry is None:
        tx.add(
            Share(
                project_id=row.project_id,
                object_type=kind,
                object_id=row.id,
                target_project=EVERYBODY,
                action=action,
            )
        )
    elif not wanted and entry is not None:
        tx.delete(entry)


__all__ = [
    "EXTERNAL",
    "SHARED",
    "delete_shares",
    "everybody",
    "external_ids",
    "external_networks",
    "is_external",
    "may_use",
    "own_networks",
    "own_or_shared",
    "sees_all",
    "set_everybody",
    "share_actions",
    "shared_ids",
    "shares_of",
]
