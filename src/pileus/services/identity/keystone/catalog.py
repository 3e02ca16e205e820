"""Keystone's regions, services, endpoints, their groups and policies, and limits as rows of this cloud.

Rule: a service that this cloud serves itself is that one; its old endpoints lead to what is being replaced.
"""

from pileus.services.identity.keystone.merge import Merge
from pileus.services.identity.keystone.source import Source, json_of, json_value
from pileus.services.identity.model import CatalogService, Endpoint, Region
from pileus.services.identity.model.endpoints import (
    ANYWHERE,
    EndpointGroup,
    PolicyAssociation,
    PolicyFile,
    ProjectEndpoint,
    ProjectEndpointGroup,
)
from pileus.services.identity.model.limits import NONE, Limit, RegisteredLimit

WHICH = ("missing", "all", "none")
"""Services to take over: of types that this cloud does not serve; every one; none."""


def take_catalog(merge: Merge, source: Source, which: str) -> dict[str, str]:
    """Bring in regions, services and endpoints; return the ids here of Keystone's services."""
    for row in source["region"]:
        merge.put(
            "regions",
            Region,
            {"id": row["id"]},
            parent_region_id=row["parent_region_id"],
            description=row["description"] or "",
            extra=json_of(row["extra"]),
        )
    here = {row.type: row.id for row in merge.rows(CatalogService).values()}
    ids: dict[str, str] = {}
    for row in source["service"]:
        extra = json_of(row["extra"])
        own = here.get(row["type"])
        if own is not None and own != row["id"] and which != "all":
            ids[row["id"]] = own
            merge.report.count("services", "same")
            continue
        if which == "none" and own is None:
            merge.report.leave_out("services", f"Service {row['type']}: not asked for.")
            continue
        ids[row["id"]] = row["id"]
        merge.put(
            "services",
            CatalogService,
            {"id": row["id"]},
            type=row["type"],
            name=extra.pop("name", ""),
            description=extra.pop("description", None),
            enabled=bool(row["enabled"]),
            extra=extra,
        )
    for row in source["endpoint"]:
        if ids.get(row["service_id"]) != row["service_id"]:
            merge.report.count("endpoints", "left out")
            continue
        merge.put(
            "endpoints",
            Endpoint,
            {"id": row["id"]},
            service_id=row["service_id"],
            interface=row["interface"],
            region_id=row["region_id"],
            url=row["url"],
            enabled=bool(row["enabled"]),
            extra=json_of(row["extra"]),
        )
    return ids


def take_endpoint_filters(merge: Merge, source: Source, services: dict[str, str]) -> None:
    """Bring in endpoint groups, and which projects see which endpoints."""
    for row in source["endpoint_group"]:
        filters = json_of(row["filters"])
        if "service_id" in filters:
            filters["service_id"] = services.get(filters["service_id"], filters["service_id"])
        values = {"name": row["name"], "description": row["description"], "filters": filters}
        merge.put("endpoint groups", EndpointGroup, {"id": row["id"]}, **values)
    for row in source["project_endpoint_group"]:
        key = {"project_id": row["project_id"], "endpoint_group_id": row["endpoint_group_id"]}
        merge.put("endpoint groups of projects", ProjectEndpointGroup, key)
    there = {id for (id,) in merge.rows(Endpoint)}
    for row in source["project_endpoint"]:
        if row["endpoint_id"] in there:
            key = {"project_id": row["project_id"], "endpoint_id": row["endpoint_id"]}
            merge.put("endpoints of projects", ProjectEndpoint, key)
        else:
            merge.report.count("endpoints of projects", "left out")


def take_policies(merge: Merge, source: Source, services: dict[str, str]) -> None:
    """Bring in policy files and what they are for."""
    for row in source["policy"]:
        values = {"type": row["type"], "blob": json_value(row["blob"], depth=1), "extra": json_of(row["extra"])}
        merge.put("policies", PolicyFile, {"id": row["id"]}, **values)
    there = {id for (id,) in merge.rows(Endpoint)}
    for row in source["policy_association"]:
        service_id = services.get(row["service_id"], ANYWHERE) if row["service_id"] else ANYWHERE
        if (row["endpoint_id"] and row["endpoint_id"] not in there) or (row["service_id"] and not service_id):
            merge.report.count("policy associations", "left out")
            continue
        key = {
            "endpoint_id": row["endpoint_id"] or ANYWHERE,
            "service_id": service_id,
            "region_id": row["region_id"] or ANYWHERE,
        }
        merge.put("policy associations", PolicyAssociation, key, policy_id=row["policy_id"])


def take_limits(merge: Merge, source: Source, services: dict[str, str]) -> None:
    """Bring in registered limits and limits of services that are here."""
    known = set()
    for row in source["registered_limit"]:
        service_id = services.get(row["service_id"])
        if service_id is None:
            sentence = f"The limit of {row['resource_name']}: its service is not here."
            merge.report.leave_out("registered limits", sentence)
            continue
        known.add(row["id"])
        merge.put(
            "registered limits",
            RegisteredLimit,
            {"id": row["id"]},
            service_id=service_id,
            region_id=row["region_id"] or NONE,
            resource_name=row["resource_name"],
            default_limit=row["default_limit"],
            description=row["description"],
        )
    for row in source["limit"]:
        if row["registered_limit_id"] not in known:
            merge.report.count("limits", "left out")
            continue
        merge.put(
            "limits",
            Limit,
            {"id": row["id"]},
            registered_limit_id=row["registered_limit_id"],
            project_id=row["project_id"] or NONE,
            domain_id=row.get("domain_id") or NONE,
            resource_limit=row["resource_limit"],
            description=row["description"],
        )
