"""What is known about a server beyond itself: its password, diagnostics, migrations; events from outside."""

from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from pileus.kernel import clock
from pileus.kernel.clock import iso_micro
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid
from pileus.kernel.operations import note_done
from pileus.kernel.rest import Body, Page, Query, Response, View, at_most, json_response, page_size, since
from pileus.kernel.rest.references import SomeHost, SomeProject, SomeServer, SomeUser
from pileus.services.compute import lifecycle
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.model import Migration, Server
from pileus.services.compute.store import servers as store

STATES = {lifecycle.ACTIVE: "running", lifecycle.PAUSED: "paused", lifecycle.SUSPENDED: "suspended"}


@api.get("/servers/{server}/os-server-password", rules.PASSWORD_SHOW, wrap="password")
def show_password(server: Server) -> str:
    return server.password or ""


@api.delete("/servers/{server}/os-server-password", rules.PASSWORD_CLEAR)
def clear_password(server: Server) -> None:
    server.password = None


@api.get("/servers/{server}/diagnostics", rules.DIAGNOSTICS, until="2.47")
def diagnostics(tx: Tx, server: Server) -> dict[str, Any]:
    _require_running(server)
    return {"memory": server.memory_mb * 1024, "vcpus": server.vcpus}


@api.get("/servers/{server}/diagnostics", rules.DIAGNOSTICS, since="2.48")
def diagnostics_since_2_48(tx: Tx, server: Server) -> dict[str, Any]:
    _require_running(server)
    nics = store.list_nics(tx, server.id)
    disks = len(store.list_devices(tx, server.id)) + (server.image_id is not None)
    uptime = int((clock.now() - server.launched_at).total_seconds()) if server.launched_at else None
    nothing = dict.fromkeys(
        f"{way}_{what}" for way in ("rx", "tx") for what in ("octets", "errors", "drop", "packets", "rate")
    )
    return {
        "state": STATES.get(server.vm_state, "shutdown"),
        "driver": "libvirt",
        "hypervisor": "qemu",
        "hypervisor_os": "linux",
        "uptime": uptime,
        "config_drive": server.config_drive,
        "num_cpus": server.vcpus,
        "num_nics": len(nics),
        "num_disks": disks,
        "memory_details": {"maximum": server.memory_mb, "used": None},
        "cpu_details": [{"id": number, "time": None, "utilisation": None} for number in range(server.vcpus)],
        "nic_details": [{"mac_address": nic.mac, **nothing} for nic in nics],
        "disk_details": [
            dict.fromkeys(("read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count"))
            for _ in range(disks)
        ],
    }


def _require_running(server: Server) -> None:
    if server.power_state == 0 or server.host is None:
        raise Conflict(f"Instance {server.id} is not running: there is nothing to diagnose.")


class MigrationView(View, kw_only=True):
    id: int
    instance_uuid: str
    status: str
    source_node: str | None
    source_compute: str | None
    dest_node: str | None
    dest_compute: str | None
    dest_host: str | None
    old_instance_type_id: int
    new_instance_type_id: int
    created_at: str
    updated_at: str | None
    migration_type: Annotated[str, since("2.23")]
    links: Annotated[list[dict[str, str]] | UnsetType, since("2.23")] = UNSET
    uuid: Annotated[str, since("2.59")]
    user_id: Annotated[str, since("2.80")]
    project_id: Annotated[str, since("2.80")]


class MigrationQuery(Query, kw_only=True):
    strict_since = "2.59"

    instance_uuid: SomeServer | None = None
    status: str | None = None
    migration_type: str | None = None
    host: SomeHost | None = None
    source_compute: str | None = None
    user_id: SomeUser | None = None
    project_id: SomeProject | None = None
    limit: int | None = None
    marker: str | None = None


def _migration(ctx: Context, row: Migration) -> MigrationView:
    shown = ctx.allows(rules.MIGRATIONS_HOSTS)
    source, target = (row.source_host, row.target_host) if shown else (None, None)
    return MigrationView(
        id=row.id,
        instance_uuid=row.server_id,
        status=row.status,
        source_node=source,
        source_compute=source,
        dest_node=target,
        dest_compute=target,
        dest_host=target,
        old_instance_type_id=0,
        new_instance_type_id=0,
        created_at=iso_micro(row.created_at),
        updated_at=iso_micro(row.updated_at),
        migration_type=row.type,
        uuid=row.uuid,
        user_id=row.user_id,
        project_id=row.project_id,
    )


@api.get("/os-migrations", rules.MIGRATIONS, wrap="migrations")
def list_migrations(tx: Tx, ctx: Context, query: MigrationQuery) -> Page:
    rows = store.list_migrations(tx, query.instance_uuid, query.status)
    if not ctx.allows(rules.MIGRATIONS_ALL_PROJECTS):
        rows = [row for row in rows if row.project_id == ctx.project_id]
    if (query.host or query.source_compute) is not None:
        ctx.require(rules.MIGRATIONS_HOSTS)
    if query.marker is not None:
        at = next((n for n, row in enumerate(rows) if row.uuid == query.marker), None)
        if at is None:
            raise Invalid(f"Marker {query.marker} not found: it must be the uuid of a migration.")
        rows = rows[at + 1 :]
    wanted = [
        row
        for row in rows
        if query.migration_type in (None, row.type)
        and query.source_compute in (None, row.source_host)
        and (query.host is None or query.host in (row.source_host, row.target_host))
        and query.user_id in (None, row.user_id)
        and query.project_id in (None, row.project_id)
    ]
    size = page_size(tx, query.limit)
    return Page(
        [_migration(ctx, row) for row in wanted[:size]], wanted[size - 1].uuid if 0 < size < len(wanted) else None
    )


@api.get("/servers/{server}/migrations", rules.SERVER_MIGRATIONS, wrap="migrations", since="2.23")
def list_live_migrations(tx: Tx, server: Server) -> list[dict[str, Any]]:
    """Live migrations under way: there are none, since guests are moved stopped."""
    return []


class ExternalEvent(Body, kw_only=True):
    name: str
    server_uuid: SomeServer
    status: str = "completed"
    tag: str | None = None


@api.post("/os-server-external-events", rules.EXTERNAL_EVENTS, body="events")
def external_events(tx: Tx, ctx: Context, body: Annotated[list[ExternalEvent], at_most(100)]) -> Response:
    """Events of services that run elsewhere: accepted, and looked at by the reconcilers."""
    answers, worst = [], 200
    for event in body:
        server = store.get_server(tx, event.server_uuid)
        known = server is not None and server.deleted_at is None and server.host is not None
        code, status = (200, event.status) if known else (404 if server is None else 422, "failed")
        worst = worst if known else 207
        if known and event.name == "volume-extended":
            note_done(tx, ctx, store.EXTENDED, store.resource_of(event.server_uuid))
        tag = {"tag": event.tag} if event.tag is not None else {}
        answers.append({"name": event.name, "server_uuid": event.server_uuid, "status": status, "code": code, **tag})
    if all(answer["code"] == 404 for answer in answers):
        return json_response({"itemNotFound": {"code": 404, "message": "No instances found for any event"}}, 404)
    return json_response({"events": answers}, worst)
