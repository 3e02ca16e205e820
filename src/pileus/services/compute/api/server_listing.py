"""Lists of servers: filters, sorting, pages.  Rule: what a filter does not know it refuses, or, as old clients
expect, finds nothing."""

import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Select, String, literal, or_, select, type_coerce
from sqlalchemy.orm import load_only

from pileus.kernel.context import Context
from pileus.kernel.db import Tx, case_insensitive_like
from pileus.kernel.errors import Forbidden, Invalid
from pileus.kernel.patterns import pattern
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Query, Sieve, page, sort_order
from pileus.kernel.rest.references import SomeHost, SomeProject, SomeServer, SomeUser
from pileus.services.compute.api import rules
from pileus.services.compute.api.flavors import as_bool
from pileus.services.compute.api.server_bodies import KeyName, SomeFlavor, SomeImage
from pileus.services.compute.lifecycle import LABELS, STATES
from pileus.services.compute.model import Server

field = msgspec.field


class ServerQuery(Query, kw_only=True):
    strict_since = "2.75"

    limit: int | None = None
    marker: str | None = None
    sort_key: list[str] = []
    sort_dir: list[str] = []
    all_tenants: str | None = None
    project_id: list[SomeProject] = []
    tenant_id: SomeProject | None = None
    user_id: SomeUser | None = None
    name: str | None = None
    status: list[str] = []
    image: SomeImage | None = None
    flavor: SomeFlavor | None = None
    host: SomeHost | None = None
    node: SomeHost | None = None
    ip: str | None = None
    ip6: str | None = None
    uuid: SomeServer | None = None
    reservation_id: str | None = None
    deleted: str | None = None
    locked: str | None = None
    changes_since: str | None = field(name="changes-since", default=None)
    changes_before: str | None = field(name="changes-before", default=None)
    tags: str | None = None
    tags_any: str | None = field(name="tags-any", default=None)
    not_tags: str | None = field(name="not-tags", default=None)
    not_tags_any: str | None = field(name="not-tags-any", default=None)
    key_name: KeyName | None = None
    availability_zone: str | None = None
    config_drive: str | None = None
    vm_state: str | None = None
    task_state: str | None = None
    power_state: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    hostname: str | None = None
    description: str | None = None
    display_description: str | None = None
    image_ref: SomeImage | None = None
    kernel_id: SomeImage | None = None
    ramdisk_id: SomeImage | None = None
    root_device_name: str | None = None
    locked_by: str | None = None
    launch_index: int | None = None
    progress: int | None = None


SORT: dict[str, Any] = {
    "created_at": Server.created_at,
    "updated_at": Server.updated_at,
    "uuid": Server.id,
    "display_name": Server.name,
    "name": Server.name,
    "vm_state": Server.vm_state,
    "task_state": Server.task_state,
    "power_state": Server.power_state,
    "host": Server.host,
    "node": Server.host,
    "hostname": Server.hostname,
    "image_ref": Server.image_id,
    "instance_type_id": Server.flavor_id,
    "key_name": Server.key_name,
    "launched_at": Server.launched_at,
    "launch_index": Server.launch_index,
    "locked": Server.locked_by,
    "locked_by": Server.locked_by,
    "project_id": Server.project_id,
    "user_id": Server.user_id,
    "progress": Server.progress,
    "root_device_name": Server.root_device,
    "terminated_at": Server.terminated_at,
    "availability_zone": Server.availability_zone,
    "config_drive": Server.config_drive,
    "display_description": Server.description,
    "access_ip_v4": Server.access_ip_v4,
    "access_ip_v6": Server.access_ip_v6,
}
EXACT: dict[str, Any] = {
    "uuid": Server.id,
    "flavor": Server.flavor_id,
    "reservation_id": Server.reservation_id,
    "key_name": Server.key_name,
    "availability_zone": Server.availability_zone,
    "vm_state": Server.vm_state,
    "task_state": Server.task_state,
    "access_ip_v4": Server.access_ip_v4,
    "access_ip_v6": Server.access_ip_v6,
    "user_id": Server.user_id,
    "hostname": Server.hostname,
    "description": Server.description,
    "display_description": Server.description,
    "image_ref": Server.image_id,
    "kernel_id": literal(""),
    "ramdisk_id": literal(""),
    "root_device_name": Server.root_device,
    "locked_by": Server.locked_by,
    "launch_index": Server.launch_index,
    "progress": Server.progress,
}
ADMIN_ONLY = ("host", "node", "deleted", "vm_state", "task_state", "power_state")
"""Filters that are ignored for those whom ``servers:allow_all_filters`` does not allow them, as upstream does."""


def list_servers(tx: Tx, ctx: Context, query: ServerQuery, *, brief: bool = False) -> tuple[list[Server], str | None]:
    """Return one page of servers and the marker of the next; ``brief`` ones know only what a brief view shows."""
    every_project = rules.SERVER_ALL_TENANTS if brief else rules.SERVER_DETAIL_ALL_TENANTS
    statement = filtered(ctx, query, every_project)
    if brief:
        statement = statement.options(load_only(Server.name, Server.addresses, raiseload=True))
    order = sort_order(query.sort_key or ["created_at"], query.sort_dir or ["desc"], SORT)
    sieve = _sieve(query)
    return page(
        tx,
        statement,
        Server,
        order=order,
        limit=query.limit,
        marker=query.marker,
        plain=not brief,
        sieve=sieve,
        seen=_of_projects(ctx, query, every_project),
    )


def filtered(ctx: Context, query: ServerQuery, every_project: Rule = rules.SERVER_ALL_TENANTS) -> Select[Any]:
    """Return the statement of the servers the caller may see and asks for; a rule says who sees every project's."""
    statement = _of_projects(ctx, query, every_project)
    every_filter = ctx.allows(rules.SERVER_ALL_FILTERS)
    for name, column in EXACT.items():
        wanted = getattr(query, name)
        if wanted is not None and (every_filter or name not in ADMIN_ONLY):
            statement = statement.where(column == wanted)
    if query.name is not None and not _is_pattern(query.name):
        statement = _containing(statement, query.name)
    if query.status:
        statement = _in_status(ctx, statement, query.status)
    if query.image is not None:
        statement = statement.where(Server.image_id == query.image)
    if every_filter and (host := query.host or query.node) is not None:
        statement = statement.where(Server.host == host)
    if query.locked is not None and ctx.version >= (2, 73):
        locked = Server.locked_by.is_not(None)
        statement = statement.where(locked if as_bool(query.locked, "locked") else ~locked)
    if query.config_drive is not None:
        statement = statement.where(Server.config_drive.is_(as_bool(query.config_drive, "config_drive")))
    return _tagged(_changed(ctx, statement, query, every_filter=every_filter), query)


def _of_projects(ctx: Context, query: ServerQuery, every_project: Rule) -> Select[Any]:
    statement = select(Server)
    projects = query.project_id or ([query.tenant_id] if query.tenant_id else [])
    everywhere = as_bool(query.all_tenants, "all_tenants") if query.all_tenants else query.all_tenants == ""
    if everywhere:
        ctx.require(every_project)
        return statement.where(Server.project_id.in_(projects)) if projects else statement
    return statement.where(Server.project_id == ctx.project_id)


def _containing(statement: Select[Any], text: str) -> Select[Any]:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return statement.where(case_insensitive_like(Server.name, f"%{escaped}%"))


def _is_pattern(text: str) -> bool:
    """Names are matched as regular expressions; what is plain text becomes a LIKE that the database can run."""
    return re.search(r"[\^$.*+?{}\[\]\\|()]", text) is not None


def _sieve(query: ServerQuery) -> Sieve | None:
    """Return what is matched past the database: patterns of names anywhere, of addresses from their beginning."""
    sieve = Sieve()
    if query.name is not None and _is_pattern(query.name):
        sieve.add(Server.name, lambda name: (name,), pattern(query.name, "name"))
    if query.ip is not None:
        sieve.add(Server.addresses, partial(_addresses, version=4), pattern(query.ip, "ip", anchored=True))
    if query.ip6 is not None:
        sieve.add(Server.addresses, partial(_addresses, version=6), pattern(query.ip6, "ip6", anchored=True))
    return sieve or None


def _addresses(networks: dict[str, list[dict[str, Any]]], version: int) -> list[str]:
    return [card["addr"] for cards in networks.values() for card in cards if card["version"] == version]


def _in_status(ctx: Context, statement: Select[Any], wanted: list[str]) -> Select[Any]:
    names = [name.upper() for name in wanted]
    if "DELETED" in names and not ctx.is_admin:
        raise Forbidden("Only administrators may list deleted servers.")
    unknown = [name for name in names if name not in STATES and name not in LABELS]
    if unknown and ctx.version >= (2, 38):
        raise Invalid(f"Invalid status value: {', '.join(unknown)}.")
    states = [STATES[name] for name in names if name in STATES]
    labels = [LABELS[name] for name in names if name in LABELS]
    shown = or_(Server.task_state.is_(None), Server.task_state.not_in(list(LABELS.values())))
    return statement.where(or_(Server.vm_state.in_(states) & shown, Server.task_state.in_(labels)))


def _changed(ctx: Context, statement: Select[Any], query: ServerQuery, *, every_filter: bool) -> Select[Any]:
    since = _moment(query.changes_since, "changes-since")
    before = _moment(query.changes_before, "changes-before") if ctx.version >= (2, 66) else None
    if since is not None and before is not None and since > before:
        raise Invalid("The value of changes-since must be less than or equal to changes-before.")
    if since is not None:
        statement = statement.where(Server.updated_at >= since)
    if before is not None:
        statement = statement.where(Server.updated_at <= before)
    if every_filter and query.deleted is not None:
        gone = as_bool(query.deleted, "deleted")
        return statement.where(Server.deleted_at.is_not(None) if gone else Server.deleted_at.is_(None))
    deleted_asked = ctx.is_admin and any(name.upper() == "DELETED" for name in query.status)
    if since is None and before is None and not deleted_asked:
        statement = statement.where(Server.deleted_at.is_(None))
    return statement


def _moment(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+"))
    except ValueError:
        raise Invalid(f"Invalid input for query parameters {name}: '{text}' is not a date-time.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _tagged(statement: Select[Any], query: ServerQuery) -> Select[Any]:
    """Tags are a JSON list in the row: a tag is there when its quoted text is."""
    for tag in _split(query.tags):
        statement = statement.where(_has_tag(tag))
    if any_of := _split(query.tags_any):
        statement = statement.where(or_(*map(_has_tag, any_of)))
    if not_all := _split(query.not_tags):
        statement = statement.where(or_(*(~_has_tag(tag) for tag in not_all)))
    for tag in _split(query.not_tags_any):
        statement = statement.where(~_has_tag(tag))
    return statement


def _split(text: str | None) -> list[str]:
    return [tag for tag in (text or "").split(",") if tag]


def _has_tag(tag: str) -> Any:
    quoted = msgspec.json.encode(tag).decode()
    return type_coerce(Server.tags, String).contains(quoted, autoescape=True)
