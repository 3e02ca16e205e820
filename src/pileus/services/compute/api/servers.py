"""Servers: create, list, show, update, delete."""

import string
from typing import Any

import msgspec

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Page, Response, json_response
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api, links, require_unlocked, url
from pileus.services.compute.api.flavors import as_bool
from pileus.services.compute.api.server_bodies import CreateRequest, DeviceBody, NetworkBody, ServerCreate, ServerUpdate
from pileus.services.compute.api.server_listing import ServerQuery, list_servers
from pileus.services.compute.api.server_views import CommonView, ServerView, brief_view, server_view, update_view
from pileus.services.compute.app.create import (
    NewServer,
    canonical_addresses,
    check_hostname,
    check_name,
    create_servers,
)
from pileus.services.compute.app.devices import WantedDevice
from pileus.services.compute.app.verbs import delete_server
from pileus.services.compute.model import Server
from pileus.services.compute.ports import Request as NicRequest
from pileus.services.compute.store import hosts
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import WantedFile

PASSWORD_LENGTH = 12
_LETTERS = string.ascii_letters + string.digits


@api.get("/servers", rules.SERVER_INDEX, wrap="servers")
def index(tx: Tx, ctx: Context, query: ServerQuery) -> Page:
    servers, marker = list_servers(tx, ctx, query, brief=True)
    return Page([brief_view(ctx, server) for server in servers], marker)


@api.get("/servers/detail", rules.SERVER_DETAIL, wrap="servers")
def detail(tx: Tx, ctx: Context, query: ServerQuery) -> Page:
    servers, marker = list_servers(tx, ctx, query)
    volumes = store.attached_by_server(tx, [server.id for server in servers])
    status = hosts.statuses(tx) if _shows_host_status(ctx) else {}
    one_of_each = {server.project_id: server for server in servers}
    may_see = {project: ctx.allows(rules.EXTENDED, server) for project, server in one_of_each.items()}
    views = [
        server_view(
            ctx,
            server,
            volumes.get(server.id, []),
            groups=False,
            host_shown=may_see[server.project_id],
            host_status=status.get(server.host or "", ""),
        )
        for server in servers
    ]
    return Page(views, marker)


def _shows_host_status(ctx: Context) -> bool:
    """Tell whether the caller may see how hosts are."""
    return ctx.version >= (2, 16) and ctx.allows(rules.EXTENDED)


@api.get("/servers/{server}", rules.SERVER_SHOW, wrap="server")
def show(tx: Tx, ctx: Context, server: Server) -> ServerView:
    status = hosts.status(tx, server.host) if _shows_host_status(ctx) else ""
    return server_view(ctx, server, store.attached(tx, server.id), host_status=status)


@api.post("/servers", rules.SERVER_CREATE, body="")
def create(tx: Tx, ctx: Context, body: CreateRequest) -> Response:
    new = _wanted(ctx, body)
    if new.host:
        ctx.require(rules.SERVER_REQUEST_HOST)
    servers = create_servers(tx, ctx, new)
    if as_bool(body.server.return_reservation_id, "return_reservation_id"):
        return json_response({"reservation_id": servers[0].reservation_id}, 202)
    first = servers[0]
    view = {
        "id": first.id,
        "links": links(ctx, "servers", first.id),
        "OS-DCF:diskConfig": first.disk_config,
        "security_groups": [{"name": name} for name in first.security_groups or ["default"]],
        "adminPass": new.admin_password,
    }
    return json_response({"server": view}, 202, [("Location", url(ctx, "servers", first.id))])


def _wanted(ctx: Context, request: CreateRequest) -> NewServer:
    body = request.server
    if ctx.version >= (2, 37) and body.networks is None:
        raise Invalid("Invalid input for server: missing required field 'networks' (a list, or 'auto', or 'none').")
    if isinstance(body.networks, str) and ctx.version < (2, 37):
        raise Invalid("Invalid input for networks: 'auto' and 'none' came with version 2.37.")
    least, most = _counts(body)
    return NewServer(
        name=body.name,
        flavor_id=str(body.flavor),
        image_id=body.image or None,
        networks=_nics(body.networks),
        devices=[_device(device) for device in _devices(body)],
        metadata=body.metadata,
        key_name=body.key_name,
        user_data=body.user_data,
        config_drive=as_bool(body.config_drive, "config_drive"),
        zone=body.availability_zone,
        host=body.host or body.hypervisor_hostname,
        security_groups=list(dict.fromkeys(group.name for group in body.security_groups)),
        description=body.description,
        tags=body.tags,
        hostname=body.hostname,
        hints=request.hints or request.old_hints,
        least=least,
        most=most,
        disk_config=body.disk_config,
        access_ip_v4=body.access_ip_v4,
        access_ip_v6=body.access_ip_v6,
        admin_password=body.admin_password or new_password(),
        trusted_certs=body.trusted_image_certificates,
        files=tuple(WantedFile(path=file.path, contents=file.contents) for file in body.personality),
    )


def new_password() -> str:
    """Return a password of letters and digits, as the API makes one when none is given."""
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in ids.random_bytes(PASSWORD_LENGTH))


def _counts(body: ServerCreate) -> tuple[int, int]:
    least = int(body.min_count or 1) if body.min_count != 0 else 0
    most = int(body.max_count) if body.max_count is not None else least
    if least < 1 or most < 1 or least > most:
        raise Invalid("min_count and max_count must be 1 or more, and min_count must be <= max_count.")
    return least, most


def _nics(networks: list[NetworkBody] | str | None) -> list[NicRequest] | str | None:
    if networks is None or isinstance(networks, str):
        return networks
    return [NicRequest(nic.uuid, nic.port, nic.fixed_ip, nic.tag) for nic in networks]


def _devices(body: ServerCreate) -> list[DeviceBody]:
    if not body.block_device_mapping:
        return body.block_device_mapping_v2
    if body.block_device_mapping_v2:
        raise Invalid("Using different block_device_mapping syntaxes is not allowed in the same request.")
    found = []
    for index, old in enumerate(body.block_device_mapping):
        device = msgspec.convert(old, DeviceBody)
        device.source_type = "snapshot" if device.snapshot_id else "volume"
        device.uuid = device.snapshot_id or device.volume_id
        device.boot_index = 0 if index == 0 and not body.image else None
        found.append(device)
    return found


def _device(body: DeviceBody) -> WantedDevice:
    index = None if body.boot_index is None else int(body.boot_index)
    return WantedDevice(
        source=body.source_type,
        destination=body.destination_type,
        id=body.uuid or body.volume_id or body.snapshot_id or body.image_id,
        boot_index=index,
        size_gib=int(body.volume_size) if body.volume_size else None,
        volume_type=body.volume_type,
        delete_on_termination=as_bool(body.delete_on_termination, "delete_on_termination"),
        device=body.device_name,
        tag=body.tag,
    )


@api.put("/servers/{server}", rules.SERVER_UPDATE, wrap="server", until="2.74")
def update(tx: Tx, ctx: Context, server: Server, body: ServerUpdate) -> CommonView:
    _update(ctx, server, body)
    return update_view(ctx, server)


@api.put("/servers/{server}", rules.SERVER_UPDATE, wrap="server", since="2.75")
def update_since_2_75(tx: Tx, ctx: Context, server: Server, body: ServerUpdate) -> ServerView:
    _update(ctx, server, body)
    return show(tx, ctx, server)


def _update(ctx: Context, server: Server, body: ServerUpdate) -> None:
    changes: dict[str, Any] = {
        name: value
        for name in ("name", "disk_config", "access_ip_v4", "access_ip_v6", "description", "hostname")
        if (value := getattr(body, name)) is not msgspec.UNSET
    }
    if "name" in changes:
        check_name(changes["name"], "name")
    check_hostname(ctx, changes.get("hostname"))
    canonical_addresses(changes)
    store.touch(server, **changes)


@api.delete("/servers/{server}", rules.SERVER_DELETE)
def delete(tx: Tx, ctx: Context, server: Server) -> None:
    require_unlocked(ctx, server)
    delete_server(tx, ctx, server)
