"""OS-EP-FILTER: endpoint groups, and which endpoints and groups a project is tied to.

Rule: a project tied to nothing sees the whole catalog; one tied to something sees that and no more.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Page, Request, changes
from pileus.services.identity.api.catalog import endpoints
from pileus.services.identity.api.router import SEEN, api, listing, missing, url
from pileus.services.identity.api.rules import ADMIN, CLOUD, SYSTEM_READER
from pileus.services.identity.api.views import project_view
from pileus.services.identity.app.references import RegionId, ServiceId
from pileus.services.identity.model import Endpoint, Project
from pileus.services.identity.model.endpoints import EndpointGroup, ProjectEndpoint, ProjectEndpointGroup
from pileus.services.identity.store import endpoint_filter, projects, tokens

LIST = Rule("identity:list_endpoint_groups", SYSTEM_READER, scopes=CLOUD)
GET = Rule("identity:get_endpoint_group", SYSTEM_READER, scopes=CLOUD)
CREATE = Rule("identity:create_endpoint_group", ADMIN, scopes=CLOUD)
UPDATE = Rule("identity:update_endpoint_group", ADMIN, scopes=CLOUD)
DELETE = Rule("identity:delete_endpoint_group", ADMIN, scopes=CLOUD)
LIST_PROJECTS_OF_GROUP = Rule("identity:list_projects_associated_with_endpoint_group", SYSTEM_READER, scopes=CLOUD)
LIST_ENDPOINTS_OF_GROUP = Rule("identity:list_endpoints_associated_with_endpoint_group", SYSTEM_READER, scopes=CLOUD)
GET_GROUP_IN_PROJECT = Rule("identity:get_endpoint_group_in_project", SYSTEM_READER, scopes=CLOUD)
LIST_GROUPS_OF_PROJECT = Rule("identity:list_endpoint_groups_for_project", SYSTEM_READER, scopes=CLOUD)
ADD_GROUP = Rule("identity:add_endpoint_group_to_project", ADMIN, scopes=CLOUD)
REMOVE_GROUP = Rule("identity:remove_endpoint_group_from_project", ADMIN, scopes=CLOUD)
LIST_PROJECTS_OF_ENDPOINT = Rule("identity:list_projects_for_endpoint", SYSTEM_READER, scopes=CLOUD)
ADD_ENDPOINT = Rule("identity:add_endpoint_to_project", ADMIN, scopes=CLOUD)
CHECK_ENDPOINT = Rule("identity:check_endpoint_in_project", SYSTEM_READER, scopes=CLOUD)
LIST_ENDPOINTS_OF_PROJECT = Rule("identity:list_endpoints_for_project", SYSTEM_READER, scopes=CLOUD)
REMOVE_ENDPOINT = Rule("identity:remove_endpoint_from_project", ADMIN, scopes=CLOUD)

ROOT = "/OS-EP-FILTER"
ONE = f"{ROOT}/endpoint_groups/{{endpoint_group}}"
TIED_GROUP = f"{ONE}/projects/{{project}}"
TIED_ENDPOINT = f"{ROOT}/projects/{{project}}/endpoints/{{endpoint}}"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=SEEN)]


class EndpointFilters(Body):
    """What an endpoint must be to belong to a group."""

    service_id: ServiceId | UnsetType = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    interface: Literal["public", "internal", "admin"] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class EndpointGroupCreate(Body):
    name: Name
    filters: EndpointFilters
    description: str | None = None


class EndpointGroupUpdate(Body):
    name: Name | UnsetType = UNSET
    filters: EndpointFilters | UnsetType = UNSET
    description: str | UnsetType | None = UNSET


@api.loader(EndpointGroup)
def load_endpoint_group(tx: Tx, ctx: Context, id: str) -> EndpointGroup:
    return endpoint_filter.get_endpoint_group(tx, id) or missing("endpoint group", id)


def _view(ctx: Context, row: EndpointGroup) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "filters": row.filters,
        "links": {"self": url(ctx, f"{ROOT}/endpoint_groups/{row.id}")},
    }


@api.get(f"{ROOT}/endpoint_groups", LIST, wrap="endpoint_groups")
def list_endpoint_groups(tx: Tx, ctx: Context, request: Request) -> Page:
    columns = {"id": EndpointGroup.id, "name": EndpointGroup.name}
    rows, marker = listing(tx, request, endpoint_filter.select_endpoint_groups(), EndpointGroup, columns)
    return Page([_view(ctx, row) for row in rows], marker)


@api.post(f"{ROOT}/endpoint_groups", CREATE, wrap="endpoint_group", status=201)
def create_endpoint_group(tx: Tx, ctx: Context, body: EndpointGroupCreate) -> dict[str, Any]:
    filters = changes(body.filters)
    if not filters:
        raise Invalid("filters must name at least one of service_id, region_id, interface and enabled.")
    row = EndpointGroup(id=ids.new_hex_id(), name=body.name, description=body.description, filters=filters)
    tx.add(row)
    return _view(ctx, row)


@api.get(ONE, GET, wrap="endpoint_group")
def show_endpoint_group(ctx: Context, endpoint_group: EndpointGroup) -> dict[str, Any]:
    return _view(ctx, endpoint_group)


@api.patch(ONE, UPDATE, wrap="endpoint_group")
def update_endpoint_group(
    tx: Tx, ctx: Context, endpoint_group: EndpointGroup, body: EndpointGroupUpdate
) -> dict[str, Any]:
    given = changes(body)
    if isinstance(body.filters, EndpointFilters):
        given["filters"] = changes(body.filters)  # none: the group has every endpoint
    for field, value in given.items():
        setattr(endpoint_group, field, value)
    tokens.move_revision(tx)
    return _view(ctx, endpoint_group)


@api.delete(ONE, DELETE)
def delete_endpoint_group(tx: Tx, endpoint_group: EndpointGroup) -> None:
    endpoint_filter.delete_endpoint_group(tx, endpoint_group)
    tokens.move_revision(tx)


def _projects(tx: Tx, ctx: Context, rows: list[Project]) -> Page:
    tags = projects.tags_of(tx, [row.id for row in rows])
    return Page([project_view(ctx, row, tags.get(row.id, [])) for row in rows])


@api.get(f"{ONE}/projects", LIST_PROJECTS_OF_GROUP, wrap="projects")
def list_projects_of_group(tx: Tx, ctx: Context, endpoint_group: EndpointGroup) -> Page:
    return _projects(tx, ctx, endpoint_filter.projects_of_group(tx, endpoint_group.id))


@api.get(f"{ONE}/endpoints", LIST_ENDPOINTS_OF_GROUP, wrap="endpoints")
def list_endpoints_of_group(tx: Tx, ctx: Context, endpoint_group: EndpointGroup) -> Page:
    return Page(endpoints.views(tx, ctx, endpoint_filter.endpoints_of_group(tx, endpoint_group)))


@api.get(TIED_GROUP, GET_GROUP_IN_PROJECT, wrap="project_endpoint_group")
def show_group_in_project(tx: Tx, ctx: Context, endpoint_group: EndpointGroup, project: Project) -> dict[str, Any]:
    _tied_group(tx, endpoint_group, project)
    path = f"{ROOT}/endpoint_groups/{endpoint_group.id}/projects/{project.id}"
    return {
        "endpoint_group_id": endpoint_group.id,
        "project_id": project.id,
        "links": {"self": url(ctx, path)},
    }


def _tied_group(tx: Tx, group: EndpointGroup, project: Project) -> ProjectEndpointGroup:
    row = endpoint_filter.get_project_group(tx, project.id, group.id)
    if row is None:
        raise NotFound(f"Endpoint group {group.id} is not associated with project {project.id}.")
    return row


@api.put(TIED_GROUP, ADD_GROUP)
def add_group_to_project(tx: Tx, endpoint_group: EndpointGroup, project: Project) -> None:
    if endpoint_filter.get_project_group(tx, project.id, endpoint_group.id) is not None:
        raise Conflict(f"Endpoint group {endpoint_group.id} is associated with project {project.id} already.")
    tx.add(ProjectEndpointGroup(project_id=project.id, endpoint_group_id=endpoint_group.id))
    tokens.move_revision(tx)


@api.delete(TIED_GROUP, REMOVE_GROUP)
def remove_group_from_project(tx: Tx, endpoint_group: EndpointGroup, project: Project) -> None:
    tx.delete(_tied_group(tx, endpoint_group, project))
    tokens.move_revision(tx)


@api.get(f"{ROOT}/projects/{{project}}/endpoint_groups", LIST_GROUPS_OF_PROJECT, wrap="endpoint_groups")
def list_groups_of_project(tx: Tx, ctx: Context, project: Project) -> Page:
    return Page([_view(ctx, row) for row in endpoint_filter.groups_of_project(tx, project.id)])


@api.get(f"{ROOT}/projects/{{project}}/endpoints", LIST_ENDPOINTS_OF_PROJECT, wrap="endpoints")
def list_endpoints_of_project(tx: Tx, ctx: Context, project: Project) -> Page:
    return Page(endpoints.views(tx, ctx, endpoint_filter.endpoints_of_project(tx, project.id)))


@api.get(f"{ROOT}/endpoints/{{endpoint}}/projects", LIST_PROJECTS_OF_ENDPOINT, wrap="projects")
def list_projects_of_endpoint(tx: Tx, ctx: Context, endpoint: Endpoint) -> Page:
    return _projects(tx, ctx, endpoint_filter.projects_of_endpoint(tx, endpoint.id))


def _tied_endpoint(tx: Tx, project: Project, endpoint: Endpoint) -> ProjectEndpoint:
    row = endpoint_filter.get_project_endpoint(tx, project.id, endpoint.id)
    if row is None:
        raise NotFound(f"Endpoint {endpoint.id} is not associated with project {project.id}.")
    return row


@api.get(TIED_ENDPOINT, CHECK_ENDPOINT)
def check_endpoint_in_project(tx: Tx, project: Project, endpoint: Endpoint) -> None:
    _tied_endpoint(tx, project, endpoint)


@api.put(TIED_ENDPOINT, ADD_ENDPOINT)
def add_endpoint_to_project(tx: Tx, project: Project, endpoint: Endpoint) -> None:
    if endpoint_filter.get_project_endpoint(tx, project.id, endpoint.id) is not None:
        raise Conflict(f"Endpoint {endpoint.id} is associated with project {project.id} already.")
    tx.add(ProjectEndpoint(project_id=project.id, endpoint_id=endpoint.id))
    tokens.move_revision(tx)


@api.delete(TIED_ENDPOINT, REMOVE_ENDPOINT)
def remove_endpoint_from_project(tx: Tx, project: Project, endpoint: Endpoint) -> None:
    tx.delete(_tied_endpoint(tx, project, endpoint))
    tokens.move_revision(tx)
