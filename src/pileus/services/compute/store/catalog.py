"""Flavors, key pairs, server groups and aggregates as rows."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Select, bindparam, delete, func, or_, select

from pileus.kernel.db import Tx, ask, load, rows_with
from pileus.services.compute.model import (
    Aggregate,
    AggregateHost,
    Flavor,
    FlavorAccess,
    KeyPair,
    Server,
    ServerGroup,
)


def get_flavor(tx: Tx, flavor_id: str) -> Flavor | None:
    """Return a flavor by the API's id."""
    return tx.get(Flavor, flavor_id)


def any_flavor(tx: Tx) -> bool:
    """Tell whether there is any flavor."""
    return tx.scalar(select(Flavor.id).limit(1)) is not None


def get_flavor_by_name(tx: Tx, name: str) -> Flavor | None:
    """Return a flavor by its name."""
    return tx.scalar(select(Flavor).where(Flavor.name == name))


def visible_flavors(project_id: str | None, public: bool | None) -> Select[Any]:
    """Return the statement of flavors: a project's (all for None), public, private or both (None)."""
    statement = select(Flavor)
    if public is not None:
        statement = statement.where(Flavor.is_public == public)
    if project_id is not None:
        granted = select(FlavorAccess.flavor_id).where(FlavorAccess.project_id == project_id)
        statement = statement.where(or_(Flavor.is_public.is_(True), Flavor.id.in_(granted)))
    return statement


def may_use_flavor(tx: Tx, flavor: Flavor, project_id: str) -> bool:
    """Tell whether a project may see a flavor."""
    return flavor.is_public or tx.get(FlavorAccess, (flavor.id, project_id)) is not None


def list_access(tx: Tx, flavor_id: str) -> list[FlavorAccess]:
    """Return the projects that may use a flavor."""
    found = select(FlavorAccess).where(FlavorAccess.flavor_id == flavor_id).order_by(FlavorAccess.project_id)
    return list(tx.scalars(found))


def get_access(tx: Tx, flavor_id: str, project_id: str) -> FlavorAccess | None:
    """Return a project's right to a flavor."""
    return tx.get(FlavorAccess, (flavor_id, project_id))


def delete_flavor(tx: Tx, flavor: Flavor) -> None:
    """Delete a flavor and the rights to it; servers keep their copies."""
    tx.execute(delete(FlavorAccess).where(FlavorAccess.flavor_id == flavor.id))
    tx.delete(flavor)


def get_key_pair(tx: Tx, user_id: str, name: str) -> KeyPair | None:
    """Return a user's key pair."""
    return tx.scalar(select(KeyPair).where(KeyPair.user_id == user_id, KeyPair.name == name))


def key_pairs_of(user_id: str) -> Select[Any]:
    """Return the statement of a user's key pairs."""
    return select(KeyPair).where(KeyPair.user_id == user_id)


def count_key_pairs(tx: Tx, user_id: str) -> int:
    """Return how many key pairs a user has."""
    return tx.scalar(select(func.count()).where(KeyPair.user_id == user_id)) or 0


def get_group(tx: Tx, group_id: str) -> ServerGroup | None:
    """Return a server group."""
    return tx.get(ServerGroup, group_id)


def groups_of(project_id: str | None) -> Select[Any]:
    """Return the statement of a project's server groups, of all for None."""
    statement = select(ServerGroup)
    return statement if project_id is None else statement.where(ServerGroup.project_id == project_id)


def count_groups(tx: Tx, project_id: str) -> int:
    """Return how many server groups a project has."""
    return tx.scalar(select(func.count()).where(ServerGroup.project_id == project_id)) or 0


def members(tx: Tx, group_ids: Iterable[str]) -> dict[str, list[tuple[str, str | None]]]:
    """Return ``(server id, host)`` of the members of each group."""
    statement = select(Server.group_id, Server.id, Server.host).where(
        Server.group_id.in_(list(group_ids)), Server.deleted_at.is_(None)
    )
    found: dict[str, list[tuple[str, str | None]]] = {}
    for group_id, server_id, host in tx.execute(statement.order_by(Server.created_at, Server.id)):
        found.setdefault(str(group_id), []).append((server_id, host))
    return found


def get_aggregate(tx: Tx, aggregate_id: int) -> Aggregate | None:
    """Return an aggregate."""
    return tx.get(Aggregate, aggregate_id)


_AGGREGATES = select(Aggregate).order_by(Aggregate.id)


def list_aggregates(tx: Tx) -> list[Aggregate]:
    """Return every aggregate."""
    return load(tx, Aggregate, _AGGREGATES)


def hosts_of_aggregate(tx: Tx, aggregate_id: int) -> list[str]:
    """Return the names of an aggregate's hosts, in the order in which they came."""
    return hosts_of_aggregates(tx, [aggregate_id]).get(aggregate_id, [])


def hosts_of_aggregates(tx: Tx, aggregate_ids: Collection[int] | None = None) -> dict[int, list[str]]:
    """Return the names of the hosts of aggregates, of all by default."""
    statement = select(AggregateHost.aggregate_id, AggregateHost.host).order_by(AggregateHost.id)
    if aggregate_ids is not None:
        statement = statement.where(AggregateHost.aggregate_id.in_(aggregate_ids))
    found: dict[int, list[str]] = {}
    for aggregate_id, host in tx.execute(statement):
        found.setdefault(aggregate_id, []).append(host)
    return found


def take_from_aggregate(tx: Tx, aggregate_id: int, host: str) -> None:
    """Remove a host from an aggregate."""
    tx.execute(delete(AggregateHost).where(AggregateHost.aggregate_id == aggregate_id, AggregateHost.host == host))


_MEMBERS = select(AggregateHost.host, AggregateHost.aggregate_id).order_by(AggregateHost.id)
_MEMBERS_OF = _MEMBERS.where(AggregateHost.host.in_(bindparam("names", expanding=True)))


def aggregates_of_hosts(tx: Tx, names: Collection[str] | None = None) -> dict[str, list[Aggregate]]:
    """Return the aggregates that hosts are in, by host: of all hosts, or of ``names``."""
    members: Any = ask(tx, _MEMBERS, {}) if names is None else ask(tx, _MEMBERS_OF, {"names": list(names)})
    pairs = members.all()
    rows = {row.id: row for row in rows_with(tx, Aggregate.id, {aggregate_id for _, aggregate_id in pairs})}
    found: dict[str, list[Aggregate]] = {}
    for host, aggregate_id in pairs:
        found.setdefault(host, []).append(rows[aggregate_id])
    return found


def get_aggregate_by_name(tx: Tx, name: str) -> Aggregate | None:
    """Return an aggregate by its name."""
    return tx.scalar(select(Aggregate).where(Aggregate.name == name))
