"""Servers, their cards and their volumes, as rows.  Rule: one query per kind of row, never one per server."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select, update

from pileus.kernel import clock
from pileus.kernel.db import Tx, add_now, ask, delete_with, load_one, rows_with
from pileus.kernel.operations import OperationRow
from pileus.kernel.rest.paging import page
from pileus.services.compute.model import BlockDevice, ConsoleToken, Migration, Nic, Server, Stray

PREFIX = "server/"
EXTENDED = "server.extend_volume"
"""What Block Storage has done to a volume that the server has, as an operation that was over when it was noted."""
_devices: Any = BlockDevice.__table__
_ATTACHED = select(_devices.c.volume_id, _devices.c.delete_on_termination).where(
    _devices.c.server_id == bindparam("server")
)


def resource_of(server_id: str) -> str:
    """Return the name under which operations lock a server."""
    return PREFIX + server_id


def get_server(tx: Tx, server_id: str) -> Server | None:
    """Return a server, deleted ones too."""
    return tx.get(Server, server_id)


def attached(tx: Tx, server_id: str) -> list[tuple[str, bool]]:
    """Return ``(volume id, delete on termination)`` of a server's volumes."""
    return [(row[0], row[1]) for row in tx.connection().execute(_ATTACHED, {"server": server_id})]


def attached_by_server(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[tuple[str, bool]]]:
    """Return the same for many servers in one query."""
    if not server_ids:
        return {}
    columns = (_devices.c.server_id, _devices.c.volume_id, _devices.c.delete_on_termination)
    found: dict[str, list[tuple[str, bool]]] = {}
    for server_id, volume_id, doomed in tx.execute(select(*columns).where(_devices.c.server_id.in_(server_ids))):
        found.setdefault(server_id, []).append((volume_id, doomed))
    return found


def insert_servers(tx: Tx, servers: Iterable[Server]) -> None:
    """Add servers."""
    add_now(tx, *servers)


def touch(server: Server, **values: Any) -> None:
    """Change a server's columns and its ``updated_at``."""
    for name, value in values.items():
        setattr(server, name, value)
    server.updated_at = clock.now()


def list_of_host(tx: Tx, host: str) -> list[Server]:
    """Return the servers of a host."""
    return list(tx.scalars(select(Server).where(Server.host == host, Server.deleted_at.is_(None))))


def count_by_host(tx: Tx) -> dict[str, int]:
    """Return how many servers each host has."""
    statement = (
        select(Server.host, func.count())
        .where(Server.deleted_at.is_(None), Server.host.is_not(None))
        .group_by(Server.host)
    )
    return {host: count for host, count in tx.execute(statement) if host is not None}


def count_of_project(tx: Tx, project_id: str) -> int:
    """Return how many servers a project has."""
    return ask(tx, _COUNT, {"project": project_id}).scalar_one()


def vcpus_of_project(tx: Tx, project_id: str) -> int:
    """Return how many virtual processors a project's servers have or may come to have."""
    return int(ask(tx, _VCPUS, {"project": project_id}).scalar() or 0)


def memory_of_project(tx: Tx, project_id: str) -> int:
    """Return how many MiB of memory a project's servers have or may come to have."""
    return int(ask(tx, _MEMORY, {"project": project_id}).scalar() or 0)


_there = Server.project_id == bindparam("project"), Server.deleted_at.is_(None)
_COUNT, _VCPUS, _MEMORY = (
    select(what).where(*_there)
    for what in (func.count(), func.sum(Server.quota_vcpus), func.sum(Server.quota_memory_mb))
)


def list_for_usage(
    tx: Tx,
    start: datetime,
    end: datetime,
    project_id: str | None,
    *,
    limit: int | None,
    marker: str | None,
    whole: bool,
) -> tuple[list[Server], str | None]:  # fmt: skip
    """Return the servers that existed at some moment between ``start`` and ``end``, and the next page's marker.

    ``whole``: without pages, as before 2.40.
    """
    statement = select(Server).where(
        Server.launched_at.is_not(None),
        Server.launched_at <= end,
        or_(Server.terminated_at.is_(None), Server.terminated_at >= start),
    )
    if project_id is not None:
        statement = statement.where(Server.project_id == project_id)
    if whole:
        return list(tx.scalars(statement.order_by(Server.project_id, Server.id))), None
    order: list[tuple[Any, bool]] = [(Server.project_id, False), (Server.id, False)]
    return page(tx, statement, Server, order=order, limit=limit, marker=marker)


def list_nics(tx: Tx, server_id: str) -> list[Nic]:
    """Return a server's cards in their order."""
    return rows_with(tx, Nic.server_id, [server_id], Nic.position)


_nics: Any = Nic.__table__
_PORT_IDS = select(_nics.c.port_id).where(_nics.c.server_id == bindparam("server")).order_by(_nics.c.position)


def port_ids(tx: Tx, server_id: str) -> list[str]:
    """Return the ports of a server's cards in their order."""
    return [row[0] for row in tx.connection().execute(_PORT_IDS, {"server": server_id})]


def plugged(tx: Tx, server_ids: Sequence[str]) -> dict[str, set[str]]:
    """Return the ports and the volumes that servers' guests shall have, by server."""
    found: dict[str, set[str]] = {}
    for nic in rows_with(tx, Nic.server_id, server_ids, Nic.position):
        found.setdefault(nic.server_id, set()).add(nic.port_id)
    for device in rows_with(tx, BlockDevice.server_id, server_ids, BlockDevice.device):
        found.setdefault(device.server_id, set()).add(device.volume_id)
    return found


def get_nic(tx: Tx, port_id: str) -> Nic | None:
    """Return the card of a port."""
    return tx.get(Nic, port_id)


def delete_nics(tx: Tx, server_id: str) -> None:
    """Forget all cards of a server."""
    delete_with(tx, Nic.server_id, [server_id])


def list_devices(tx: Tx, server_id: str) -> list[BlockDevice]:
    """Return a server's volumes in the order of their devices."""
    return rows_with(tx, BlockDevice.server_id, [server_id], BlockDevice.device)


def get_device(tx: Tx, server_id: str, volume_id: str) -> BlockDevice | None:
    """Return a server's attachment of one volume."""
    return tx.scalar(select(BlockDevice).where(BlockDevice.server_id == server_id, BlockDevice.volume_id == volume_id))


def servers_with(tx: Tx, volume_id: str) -> list[str]:
    """Return the ids of the servers that have a volume."""
    return list(tx.scalars(select(BlockDevice.server_id).where(BlockDevice.volume_id == volume_id)))


def delete_devices(tx: Tx, server_id: str) -> None:
    """Forget all volumes of a server."""
    delete_with(tx, BlockDevice.server_id, [server_id])


def get_migration(tx: Tx, server_id: str, status: str) -> Migration | None:
    """Return the newest migration of a server in a status."""
    return load_one(tx, Migration, _MIGRATION, {"server": server_id, "status": status})


_MIGRATION = (
    select(Migration)
    .where(Migration.server_id == bindparam("server"), Migration.status == bindparam("status"))
    .order_by(Migration.id.desc())
    .limit(1)
)


def list_actions(tx: Tx, server_id: str) -> list[OperationRow]:
    """Return the operations of a server, newest first."""
    statement = select(OperationRow).where(OperationRow.resource == resource_of(server_id))
    return list(tx.scalars(statement.order_by(OperationRow.created_at.desc(), OperationRow.id)))


def last_action(tx: Tx, server_id: str, part: str) -> OperationRow | None:
    """Return the newest operation of Compute's own that changed one device of a server, alone or with all of it."""
    of_part = or_(OperationRow.part == part, OperationRow.part.is_(None))
    statement = select(OperationRow).where(
        OperationRow.resource == resource_of(server_id), OperationRow.kind != EXTENDED, of_part
    )
    return tx.scalar(statement.order_by(OperationRow.created_at.desc(), OperationRow.turn.desc()).limit(1))


def insert_console_token(tx: Tx, token: ConsoleToken) -> None:
    """Keep a console token, and drop those that have expired."""
    tx.execute(delete(ConsoleToken).where(ConsoleToken.expires_at < clock.now()))
    tx.add(token)


def get_console_token(tx: Tx, digest: str) -> ConsoleToken | None:
    """Return a console token that has not expired."""
    token = tx.get(ConsoleToken, digest)
    return token if token is not None and token.expires_at > clock.now() else None


def forget_console_tokens(tx: Tx, server_id: str) -> None:
    """Withdraw the rights to a server's consoles."""
    delete_with(tx, ConsoleToken.server_id, [server_id])


def put_stray(tx: Tx, host: str, guest_id: str) -> bool:
    """Record a guest that no server stands for; tell whether it is new."""
    if tx.get(Stray, (host, guest_id)) is not None:
        return False
    tx.add(Stray(host=host, guest_id=guest_id, found_at=clock.now()))
    return True


def keep_strays(tx: Tx, host: str, guest_ids: Iterable[str]) -> None:
    """Forget the strays of a host that are not among ``guest_ids`` any more."""
    tx.execute(delete(Stray).where(Stray.host == host, Stray.guest_id.not_in(list(guest_ids))))


def leave_group(tx: Tx, group_id: str) -> None:
    """Take every server out of a group that is being deleted."""
    tx.execute(update(Server).where(Server.group_id == group_id).values(group_id=None))


def list_migrations(tx: Tx, server_id: str | None, status: str | None) -> list[Migration]:
    """Return migrations, newest first."""
    statement = select(Migration).order_by(Migration.id.desc())
    if server_id is not None:
        statement = statement.where(Migration.server_id == server_id)
    if status is not None:
        statement = statement.where(Migration.status == status)
    return list(tx.scalars(statement))
