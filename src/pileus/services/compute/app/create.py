"""What it takes to begin a server: everything that can be refused is refused here, before a row is written."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from pileus.kernel import clock, events, ids, quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.operations import begin
from pileus.kernel.rest.references import referred
from pileus.services.compute import images, ports
from pileus.services.compute.app.devices import WantedDevice, plan_devices
from pileus.services.compute.app.placing import check_zone, group_of_hints, hints_checked
from pileus.services.compute.guests import flavor_copy
from pileus.services.compute.lifecycle import BUILDING, CREATE
from pileus.services.compute.limits import LIMITS, claim_per_server
from pileus.services.compute.model import Flavor, KeyPair, Server
from pileus.services.compute.store import catalog
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import CreateServer, WantedFile, WantedNic

MAX_SERVERS = 100
"""Servers one request may ask for."""


@dataclass(frozen=True, kw_only=True)
class NewServer:
    """What a client asks for, in whatever version it asked."""

    name: str
    flavor_id: str
    image_id: str | None = None
    networks: list[ports.Request] | str | None = None
    devices: list[WantedDevice] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    key_name: str | None = None
    user_data: str | None = None
    config_drive: bool = False
    zone: str | None = None
    host: str | None = None
    security_groups: list[str] = field(default_factory=list)
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    hostname: str | None = None
    hints: dict[str, Any] = field(default_factory=dict)
    least: int = 1
    most: int = 1
    disk_config: str = "MANUAL"
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    admin_password: str = ""
    trusted_certs: list[str] | None = None
    files: tuple[WantedFile, ...] = ()


def create_servers(tx: Tx, ctx: Context, new: NewServer) -> list[Server]:
    """Write the servers' rows and begin to build them; raise Invalid, NotFound or OverQuota and write nothing."""
    if new.host and not new.zone:
        forced_host, forced = new.host, False
    else:
        zone, forced_host = check_zone(tx, ctx, new.zone)
        forced_host, forced = forced_host or new.host, forced_host is not None
        new = replace(new, zone=zone)
    flavor = usable_flavor(tx, new.flavor_id)
    key = _find_key(tx, ctx, new.key_name)
    image = images.usable(referred(tx, "image", new.image_id)) if new.image_id else None
    _check(tx, ctx, new)
    hints = hints_checked(tx, new.hints)
    group = group_of_hints(tx, ctx, hints, new.most)
    nics = ports.resolve(tx, ctx, new.networks, count=new.most)
    groups = ports.security_groups(tx, ctx, new.security_groups)
    devices = plan_devices(tx, ctx, new.devices, image, flavor, count=new.most)
    count = _claim(tx, ctx, flavor, new)
    reservation = f"r-{ids.new_hex_id()[:8]}"
    servers = [
        _row(ctx, new, flavor, image, key, index, count, reservation, group.id if group else None)
        for index in range(count)
    ]
    for server in servers:
        server.hints = hints
        server.image_id = devices.image_id
        server.root_device = devices.root_device
        server.security_groups = [name for _, name in groups] if nics else []
    store.insert_servers(tx, servers)
    for server in servers:
        _begin(
            tx, ctx, server, new, nics, [id for id, _ in groups], devices.hold(tx, ctx, server.id), forced_host, forced
        )
    return servers


def _begin(
    tx: Tx,
    ctx: Context,
    server: Server,
    new: NewServer,
    nics: tuple[WantedNic, ...],
    group_ids: list[str],
    volumes: tuple[Any, ...],
    host: str | None,
    forced: bool,
) -> None:
    wanted = CreateServer(
        server_id=server.id,
        nics=nics,
        volumes=volumes,
        group_ids=tuple(group_ids),
        admin_password=new.admin_password,
        files=new.files,
        host=host,
        forced=forced,
        by_admin=ctx.is_admin,
    )
    begin(tx, ctx, "server.create", store.resource_of(server.id), wanted)
    events.emit(tx, "compute.server.created", server.id, ctx=ctx, name=server.name)


def usable_flavor(tx: Tx, flavor_id: str) -> Flavor:
    """Return the flavor that the request refers to; raise Invalid for one that is given no more."""
    flavor: Flavor = referred(tx, "flavor", flavor_id)
    if flavor.disabled:
        raise Invalid(f"Flavor {flavor_id} could not be found: choose one of the list of flavors.")
    return flavor


def _find_key(tx: Tx, ctx: Context, name: str | None) -> KeyPair | None:
    if not name:
        return None
    key = catalog.get_key_pair(tx, ctx.user_id, name)
    if key is None:
        raise Invalid(f"Invalid key_name provided: you have no key pair '{name}'.")
    return key


def _check(tx: Tx, ctx: Context, new: NewServer) -> None:
    check_name(new.name, "name")
    check_hostname(ctx, new.hostname)
    check_user_data(new.user_data)
    if new.metadata:
        claim_per_server(tx, ctx.project_id, "metadata_items", len(new.metadata))
    check_files(new.files)
    if new.files:
        claim_per_server(tx, ctx.project_id, "injected_files", len(new.files))
    if len(set(new.tags)) != len(new.tags):
        raise Invalid("Invalid input for field tags: each tag may be given once.")
    if not 1 <= new.least <= new.most <= MAX_SERVERS:
        raise Invalid(f"min_count must be at least 1, at most max_count, and max_count at most {MAX_SERVERS}.")


def check_name(name: str, what: str) -> None:
    """Raise Invalid for a name that is blank, has spaces around it, or holds what cannot be printed."""
    if name != name.strip() or not name.strip() or not name.isprintable():
        raise Invalid(
            f"Invalid input for field {what}: {name!r} must be printable and may not begin or end with a space."
        )


def check_hostname(ctx: Context, hostname: str | None) -> None:
    """Raise Invalid for a host name with a domain before 2.94, which brought them."""
    if hostname is not None and ctx.version < (2, 94) and ("." in hostname or len(hostname) > 63):
        raise Invalid(
            f"Invalid input for field hostname: '{hostname}' must be one label of at most 63 letters, digits and "
            "hyphens; names with a domain came with version 2.94."
        )


def check_user_data(data: str | None) -> None:
    """Raise Invalid unless user data is base64."""
    if data is None:
        return
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("Invalid input for field user_data: it must be base64.") from error


def check_files(files: Sequence[WantedFile]) -> None:
    """Raise Invalid unless the contents of files for a config drive are base64."""
    for file in files:
        try:
            base64.b64decode("".join(file.contents.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Invalid(f"Personality content for {file.path} cannot be decoded: it must be base64.") from error


def check_address(address: str | None, version: int, what: str) -> str | None:
    """Return an access address in its usual form, None for an empty one; raise Invalid for another kind of text."""
    if not address:
        return None
    try:
        found = ip_address(address)
        if found.version == version:
            return str(found)
    except ValueError:
        pass
    raise Invalid(f"Invalid input for field {what}: '{address}' is not an IPv{version} address.")


def canonical_addresses(changes: dict[str, Any]) -> None:
    """Bring the access addresses among changed columns to their usual form; raise Invalid."""
    for name, version, what in (("access_ip_v4", 4, "accessIPv4"), ("access_ip_v6", 6, "accessIPv6")):
        if name in changes:
            changes[name] = check_address(changes[name], version, what)


def _claim(tx: Tx, ctx: Context, flavor: Flavor, new: NewServer) -> int:
    """Return how many servers the quota allows, between the least and the most asked for."""
    count = new.most
    if new.least < new.most:
        limits, used = quota.limits_of(tx, ctx.project_id, LIMITS), quota.usage(tx, ctx.project_id, LIMITS)
        for name, each in (("instances", 1), ("cores", flavor.vcpus), ("ram", flavor.memory_mb)):
            if limits[name] != quota.UNLIMITED:
                count = min(count, max(limits[name] - used[name], 0) // each)
        count = max(count, new.least)
    wanted = {"instances": count, "cores": count * flavor.vcpus, "ram": count * flavor.memory_mb}
    quota.claim(tx, ctx.project_id, LIMITS, wanted)
    return count


def hostname_of(name: str, server_id: str) -> str:
    """Return the host name a guest gets: its server's name, as far as host names allow."""
    text = re.sub(r"[^a-z0-9.-]", "", re.sub(r"[ _]", "-", name.lower()))
    text = re.sub(r"[.-]{2,}", "-", text).strip(".-")[:63].strip(".-")
    return text or f"server-{server_id}"


def _row(
    ctx: Context,
    new: NewServer,
    flavor: Flavor,
    image: images.Image | None,
    key: KeyPair | None,
    index: int,
    count: int,
    reservation: str,
    group_id: str | None,
) -> Server:
    server_id, now = ids.new_id(), clock.now()
    name = new.name if count == 1 and new.most == 1 else f"{new.name}-{index + 1}"
    hostname = new.hostname if new.hostname and count == 1 else hostname_of(name, server_id)
    if new.hostname and count > 1:
        hostname = f"{new.hostname}-{index + 1}"
    return Server(
        id=server_id,
        project_id=ctx.project_id,
        user_id=ctx.user_id,
        name=name,
        hostname=hostname,
        description=new.description if ctx.version >= (2, 19) else name,
        vm_state=BUILDING,
        task_state=CREATE.label,
        availability_zone=new.zone,
        pinned_availability_zone=new.zone,
        flavor_id=flavor.id,
        flavor=flavor_copy(flavor),
        vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb,
        quota_vcpus=flavor.vcpus,
        quota_memory_mb=flavor.memory_mb,
        image={**images.copy_of(image), "named": image.id} if image else {},
        key_name=key.name if key else None,
        public_key=key.public_key if key else None,
        user_data=new.user_data,
        meta=new.metadata,
        tags=sorted(new.tags),
        config_drive=new.config_drive or (image is not None and images.wants_config_drive(image)),
        disk_config=new.disk_config,
        access_ip_v4=check_address(new.access_ip_v4, 4, "accessIPv4"),
        access_ip_v6=check_address(new.access_ip_v6, 6, "accessIPv6"),
        addresses={},
        security_groups=[],
        group_id=group_id,
        hints={},
        trusted_certs=new.trusted_certs,
        reservation_id=reservation,
        launch_index=index,
        power_state=0,
        progress=0,
        created_at=now,
        updated_at=now,
    )
