"""What projects have used: hours of servers, processors, memory and disk between two moments."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pileus.kernel import clock
from pileus.kernel.clock import iso_micro
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Count, Id, Page, Query, Request, link_page
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.lifecycle import status_of
from pileus.services.compute.model import Server
from pileus.services.compute.store import servers as store

DEFAULT_SPAN = timedelta(weeks=4)


class UsageQuery(Query, kw_only=True):
    strict_since = "2.75"

    start: str | None = None
    end: str | None = None
    detailed: str | None = None
    limit: Count | None = None
    """From 2.40 on, as ``marker``, the last server of the page before; earlier versions know neither."""
    marker: Id | None = None


def _moment(text: str | None, default: datetime) -> datetime:
    if not text:
        return default
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(f"Invalid start time or end time: '{text}' is not a date-time.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _span(query: UsageQuery) -> tuple[datetime, datetime]:
    end = _moment(query.end, clock.now())
    start = _moment(query.start, end - DEFAULT_SPAN)
    if start > end:
        raise Invalid("Invalid start time. The start time cannot occur after the end time.")
    return start, end


def _server(server: Server, start: datetime, end: datetime) -> dict[str, Any]:
    launched = server.launched_at or server.created_at
    last = server.terminated_at or clock.now()
    hours = max((min(last, end) - max(launched, start)).total_seconds(), 0) / 3600
    return {
        "instance_id": server.id,
        "name": server.name,
        "hours": hours,
        "tenant_id": server.project_id,
        "flavor": server.flavor["name"],
        "vcpus": server.vcpus,
        "memory_mb": server.memory_mb,
        "local_gb": server.flavor["disk"] + server.flavor["ephemeral"],
        "started_at": iso_micro(launched),
        "ended_at": iso_micro(server.terminated_at) if server.terminated_at else None,
        "state": "terminated" if server.terminated_at else status_of(server.vm_state, None).lower(),
        "uptime": int((last - launched).total_seconds()),
    }


def _totals(project_id: str, usages: list[dict[str, Any]], start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "tenant_id": project_id,
        "start": iso_micro(start),
        "stop": iso_micro(end),
        "total_hours": sum(one["hours"] for one in usages),
        "total_vcpus_usage": sum(one["hours"] * one["vcpus"] for one in usages),
        "total_memory_mb_usage": sum(one["hours"] * one["memory_mb"] for one in usages),
        "total_local_gb_usage": sum(one["hours"] * one["local_gb"] for one in usages),
    }


def _page(
    tx: Tx, ctx: Context, query: UsageQuery, start: datetime, end: datetime, project_id: str | None
) -> tuple[list[Server], str | None]:
    limit, marker, whole = query.limit, query.marker, ctx.version < (2, 40)
    return store.list_for_usage(tx, start, end, project_id, limit=limit, marker=marker, whole=whole)


@api.get("/os-simple-tenant-usage", rules.USAGE_LIST, wrap="tenant_usages")
def list_usages(tx: Tx, ctx: Context, query: UsageQuery) -> Page:
    start, end = _span(query)
    by_project: dict[str, list[dict[str, Any]]] = {}
    servers, following = _page(tx, ctx, query, start, end, None)
    for server in servers:
        by_project.setdefault(server.project_id, []).append(_server(server, start, end))
    detailed = query.detailed == "1"
    views = [
        {**_totals(project_id, usages, start, end), **({"server_usages": usages} if detailed else {})}
        for project_id, usages in by_project.items()
    ]
    return Page(views, following)


@api.get("/os-simple-tenant-usage/{id}", rules.USAGE_SHOW, by_handler=True)
def show_usage(tx: Tx, ctx: Context, request: Request, id: str, query: UsageQuery) -> dict[str, Any]:
    ctx.require(rules.USAGE_SHOW, {"project_id": id})
    start, end = _span(query)
    servers, following = _page(tx, ctx, query, start, end, id)
    usages = [_server(server, start, end) for server in servers]
    view = {**_totals(id, usages, start, end), "server_usages": usages} if usages else {}
    links = {k: v for k, v in link_page("tenant_usage", [], following, request, ctx).items() if k.endswith("_links")}
    return {"tenant_usage": view, **links}
