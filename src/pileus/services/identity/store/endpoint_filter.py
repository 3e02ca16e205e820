"""Which projects see which endpoints: endpoint groups, and what is tied to a project."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, delete, exists, or_, select, true

from pileus.kernel.db import Tx
from pileus.services.identity.model import Endpoint, Project
from pileus.services.identity.model.endpoints import EndpointGroup, ProjectEndpoint, ProjectEndpointGroup


def get_endpoint_group(tx: Tx, id: str) -> EndpointGroup | None:
    """Return an endpoint group."""
    return tx.get(EndpointGroup, id)


def select_endpoint_groups() -> Select[Any]:
    """Return the statement of a listing."""
    return select(EndpointGroup)


def get_project_endpoint(tx: Tx, project_id: str, endpoint_id: str) -> ProjectEndpoint | None:
    """Return one association."""
    return tx.get(ProjectEndpoint, (project_id, endpoint_id))


def get_project_group(tx: Tx, project_id: str, group_id: str) -> ProjectEndpointGroup | None:
    """Return one association."""
    return tx.get(ProjectEndpointGroup, (project_id, group_id))


def groups_of_project(tx: Tx, project_id: str) -> list[EndpointGroup]:
    """Return the endpoint groups tied to a project, by name."""
    tied = ProjectEndpointGroup
    statement = select(EndpointGroup).join(tied, tied.endpoint_group_id == EndpointGroup.id)
    return list(tx.scalars(statement.where(tied.project_id == project_id).order_by(EndpointGroup.name)))


def projects_of_group(tx: Tx, group_id: str) -> list[Project]:
    """Return the projects that an endpoint group is tied to, by name."""
    tied = ProjectEndpointGroup
    statement = select(Project).join(tied, tied.project_id == Project.id)
    return list(tx.scalars(statement.where(tied.endpoint_group_id == group_id).order_by(Project.name)))


def projects_of_endpoint(tx: Tx, endpoint_id: str) -> list[Project]:
    """Return the projects that an endpoint itself is tied to, by name."""
    tied = ProjectEndpoint
    statement = select(Project).join(tied, tied.project_id == Project.id)
    return list(tx.scalars(statement.where(tied.endpoint_id == endpoint_id).order_by(Project.name)))


def _matching(filters: dict[str, Any]) -> Any:
    """Return "this endpoint meets every filter"."""
    return and_(true(), *(getattr(Endpoint, name) == value for name, value in filters.items()))


def endpoints_of_group(tx: Tx, group: EndpointGroup) -> list[Endpoint]:
    """Return the endpoints that meet a group's filters."""
    return list(tx.scalars(select(Endpoint).where(_matching(group.filters)).order_by(Endpoint.id)))


def endpoints_of_project(tx: Tx, project_id: str) -> list[Endpoint]:
    """Return the endpoints tied to a project, by themselves or through a group."""
    own = select(ProjectEndpoint.endpoint_id).where(ProjectEndpoint.project_id == project_id)
    groups = groups_of_project(tx, project_id)
    wanted = or_(Endpoint.id.in_(own), *(_matching(group.filters) for group in groups))
    return list(tx.scalars(select(Endpoint).where(wanted).order_by(Endpoint.id)))


def any_association(tx: Tx) -> bool:
    """Tell whether any project is tied to anything; if none is, all see everything."""
    own, groups = (
        exists().where(ProjectEndpoint.project_id != ""),
        exists().where(ProjectEndpointGroup.project_id != ""),
    )
    return bool(tx.scalar(select(or_(own, groups))))


def delete_endpoint_group(tx: Tx, group: EndpointGroup) -> None:
    """Remove an endpoint group and its associations."""
    tx.execute(delete(ProjectEndpointGroup).where(ProjectEndpointGroup.endpoint_group_id == group.id))
    tx.delete(group)
    tx.flush()


def delete_associations(tx: Tx, *, project_ids: Sequence[str] = (), endpoint_ids: Sequence[str] = ()) -> None:
    """Remove what is tied to these projects or endpoints."""
    row = ProjectEndpoint
    tx.execute(delete(row).where(row.project_id.in_(project_ids) | row.endpoint_id.in_(endpoint_ids)))
    if project_ids:
        tx.execute(delete(ProjectEndpointGroup).where(ProjectEndpointGroup.project_id.in_(project_ids)))
