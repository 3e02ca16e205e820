"""How a server is shown, in every version.  Rule: a view is made from rows already read; it asks for nothing."""

import functools
import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.clock import iso
from pileus.kernel.context import Context
from pileus.kernel.rest import View, since
from pileus.services.compute.api.base import bookmark, links
from pileus.services.compute.api.rules import EXTENDED
from pileus.services.compute.lifecycle import WITH_PROGRESS, status_of
from pileus.services.compute.model import Server

field = msgspec.field
Text = str | None | UnsetType


class CommonView(View, kw_only=True):
    """What every answer about a server holds; updates before 2.75 hold nothing else."""

    id: str
    name: str
    status: str
    tenant_id: str
    user_id: str
    metadata: dict[str, str]
    hostId: str
    image: dict[str, Any] | str
    flavor: dict[str, Any]
    created: str
    updated: str
    addresses: dict[str, Any]
    accessIPv4: str
    accessIPv6: str
    links: list[dict[str, str]]
    disk_config: str = field(name="OS-DCF:diskConfig")
    progress: int | UnsetType = UNSET
    fault: dict[str, Any] | UnsetType = UNSET
    locked: Annotated[bool | UnsetType, since("2.9")] = UNSET
    description: Annotated[Text, since("2.19")] = UNSET
    tags: Annotated[list[str] | UnsetType, since("2.26")] = UNSET
    trusted_image_certificates: Annotated[list[str] | UnsetType | None, since("2.63")] = UNSET
    server_groups: Annotated[list[str] | UnsetType, since("2.71")] = UNSET
    locked_reason: Annotated[Text, since("2.73")] = UNSET
    pinned_availability_zone: Annotated[Text, since("2.96")] = UNSET
    scheduler_hints: Annotated[dict[str, Any] | UnsetType, since("2.100")] = UNSET


class RebuildView(CommonView, kw_only=True):
    """The answer to a rebuild before 2.75."""

    adminPass: str | UnsetType = UNSET
    key_name: Annotated[Text, since("2.54")] = UNSET
    user_data: Annotated[Text, since("2.57")] = UNSET


class ServerView(CommonView, kw_only=True):
    """A server with everything, as it is shown and listed."""

    adminPass: str | UnsetType = UNSET
    key_name: str | None
    user_data: Text = UNSET
    config_drive: str
    security_groups: list[dict[str, str]] | UnsetType = UNSET
    availability_zone: str = field(name="OS-EXT-AZ:availability_zone")
    launched_at: str | None = field(name="OS-SRV-USG:launched_at")
    terminated_at: str | None = field(name="OS-SRV-USG:terminated_at")
    task_state: str | None = field(name="OS-EXT-STS:task_state")
    vm_state: str = field(name="OS-EXT-STS:vm_state")
    power_state: int = field(name="OS-EXT-STS:power_state")
    volumes_attached: list[dict[str, Any]] = field(name="os-extended-volumes:volumes_attached")
    host: Text = field(name="OS-EXT-SRV-ATTR:host", default=UNSET)
    instance_name: str | UnsetType = field(name="OS-EXT-SRV-ATTR:instance_name", default=UNSET)
    node: Text = field(name="OS-EXT-SRV-ATTR:hypervisor_hostname", default=UNSET)
    reservation_id: Annotated[Text, since("2.3")] = field(name="OS-EXT-SRV-ATTR:reservation_id", default=UNSET)
    launch_index: Annotated[int | UnsetType, since("2.3")] = field(name="OS-EXT-SRV-ATTR:launch_index", default=UNSET)
    kernel_id: Annotated[Text, since("2.3")] = field(name="OS-EXT-SRV-ATTR:kernel_id", default=UNSET)
    ramdisk_id: Annotated[Text, since("2.3")] = field(name="OS-EXT-SRV-ATTR:ramdisk_id", default=UNSET)
    hostname: Annotated[Text, since("2.3")] = field(name="OS-EXT-SRV-ATTR:hostname", default=UNSET)
    root_device_name: Annotated[Text, since("2.3")] = field(name="OS-EXT-SRV-ATTR:root_device_name", default=UNSET)
    admin_user_data: Annotated[Text, since("2.3")] = field(name="OS-EXT-SRV-ATTR:user_data", default=UNSET)
    host_status: Annotated[str | UnsetType, since("2.16")] = UNSET


class BriefView(View, kw_only=True):
    """A server in a list without details."""

    id: str
    name: str
    links: list[dict[str, str]]


@functools.lru_cache(4096)
def host_id_of(project_id: str, host: str | None) -> str:
    """Return the opaque name under which a project sees a host, different for each project."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def brief_view(ctx: Context, server: Server) -> BriefView:
    """Return a server as lists show it."""
    return BriefView(id=server.id, name=server.name, links=links(ctx, "servers", server.id))


def _plain(card: dict[str, Any]) -> dict[str, Any]:
    return {"version": card["version"], "addr": card["addr"]}


def _flavor(ctx: Context, server: Server) -> dict[str, Any]:
    flavor = server.flavor
    if ctx.version < (2, 47):
        return {"id": server.flavor_id, "links": bookmark(ctx, "flavors", server.flavor_id)}
    return {
        "original_name": flavor["name"],
        "vcpus": flavor["vcpus"],
        "ram": flavor["ram"],
        "disk": flavor["disk"],
        "ephemeral": flavor["ephemeral"],
        "swap": flavor["swap"],
        "extra_specs": flavor["extra_specs"],
    }


def _image(ctx: Context, server: Server) -> dict[str, Any] | str:
    image_id = server.image_id or server.image.get("named")
    if image_id is None:
        return ""
    image: dict[str, Any] = {"id": image_id, "links": bookmark(ctx, "images", image_id)}
    if ctx.version >= (2, 98):
        image["properties"] = server.image.get("properties", {})
    return image


def _common(ctx: Context, server: Server) -> dict[str, Any]:
    status = status_of(server.vm_state, server.task_state)
    common: dict[str, Any] = {
        "id": server.id,
        "name": server.name,
        "status": status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": server.meta,
        "hostId": host_id_of(server.project_id, server.host),
        "image": _image(ctx, server),
        "flavor": _flavor(ctx, server),
        "created": iso(server.created_at),
        "updated": iso(server.updated_at),
        "addresses": {label: [_plain(card) for card in cards] for label, cards in server.addresses.items()},
        "accessIPv4": server.access_ip_v4 or "",
        "accessIPv6": server.access_ip_v6 or "",
        "links": links(ctx, "servers", server.id),
        "disk_config": server.disk_config,
        "locked": server.locked_by is not None,
        "description": server.description,
        "tags": server.tags,
        "trusted_image_certificates": server.trusted_certs,
        "locked_reason": server.locked_reason,
        "pinned_availability_zone": server.pinned_availability_zone,
        "scheduler_hints": server.hints,
    }
    if status in WITH_PROGRESS:
        common["progress"] = server.progress
    if server.fault is not None and status in ("ERROR", "DELETED"):
        shown = server.fault if ctx.is_admin else {k: v for k, v in server.fault.items() if k != "details"}
        common["fault"] = shown
    return common


def _groups(server: Server) -> list[str]:
    return [server.group_id] if server.group_id else []


def server_view(
    ctx: Context,
    server: Server,
    volumes: list[tuple[str, bool]],
    *,
    groups: bool = True,
    host_shown: bool | None = None,
    host_status: str | None = None,
) -> ServerView:
    """Return a server in full.

    ``volumes`` are its ``(volume id, delete on termination)``, ``host_status`` is that of its host, for those who
    may see hosts.  Lists leave out the groups.
    """
    view = ServerView(
        **_common(ctx, server),
        key_name=server.key_name,
        config_drive="True" if server.config_drive else "",
        availability_zone=server.availability_zone or "",
        launched_at=_moment(server.launched_at),
        terminated_at=_moment(server.terminated_at),
        task_state=server.task_state,
        vm_state=server.vm_state,
        power_state=server.power_state,
        volumes_attached=_volumes(ctx, volumes),
        hostname=server.hostname if ctx.version >= (2, 90) else UNSET,
        security_groups=[{"name": name} for name in server.security_groups] or UNSET,
    )
    view.addresses = server.addresses
    if groups:
        view.server_groups = _groups(server)
    if ctx.allows(EXTENDED, server) if host_shown is None else host_shown:
        _show_host(view, server, host_status)
    return view


def _show_host(view: ServerView, server: Server, host_status: str | None) -> None:
    view.host = view.node = server.host
    view.instance_name = f"instance-{server.id[:8]}"
    view.hostname = server.hostname
    view.reservation_id = server.reservation_id
    view.launch_index = server.launch_index
    view.kernel_id = view.ramdisk_id = ""
    view.root_device_name = server.root_device
    view.admin_user_data = server.user_data
    view.host_status = host_status or ""


def update_view(ctx: Context, server: Server) -> CommonView:
    """Return the answer to an update before 2.75."""
    return CommonView(**_common(ctx, server), server_groups=_groups(server))


def rebuild_view(ctx: Context, server: Server, password: str) -> RebuildView:
    """Return the answer to a rebuild before 2.75."""
    return RebuildView(
        **_common(ctx, server),
        server_groups=_groups(server),
        adminPass=password,
        key_name=server.key_name,
        user_data=server.user_data,
    )


def _moment(moment: Any) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") if moment is not None else None


def _volumes(ctx: Context, volumes: list[tuple[str, bool]]) -> list[dict[str, Any]]:
    if ctx.version < (2, 3):
        return [{"id": volume_id} for volume_id, _ in volumes]
    return [{"id": volume_id, "delete_on_termination": doomed} for volume_id, doomed in volumes]
