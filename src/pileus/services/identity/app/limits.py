"""Registered limits and limits: made and changed so that the model of enforcement holds.

Rule: with ``strict_two_level`` no project may have more than its domain, and so no domain less than a project of it.
"""

import math
from dataclasses import dataclass

from pileus.kernel import ids
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Invalid
from pileus.services.identity.model import IdentitySettings
from pileus.services.identity.model.limits import NONE, UNLIMITED, Limit, RegisteredLimit
from pileus.services.identity.store import catalog, limits, projects

FLAT, STRICT = "flat", "strict_two_level"
MODELS = {
    FLAT: "Limit enforcement and validation does not take project hierarchy into consideration.",
    STRICT: "This model requires project hierarchy never exceeds a depth of two",
}
"""What clients are told of each model, in upstream's words, which they compare."""


@dataclass(frozen=True)
class Resource:
    """What is limited: a resource of a service, in one region or in all."""

    service_id: str
    region_id: str
    name: str


def _require_place(tx: Tx, resource: Resource) -> None:
    if catalog.get_service(tx, resource.service_id) is None:
        raise Invalid(f"Could not find service: {resource.service_id}. It was named as service_id.")
    if resource.region_id != NONE and catalog.get_region(tx, resource.region_id) is None:
        raise Invalid(f"Could not find region: {resource.region_id}. It was named as region_id.")


def _require_free(tx: Tx, resource: Resource) -> None:
    if limits.find_registered_limit(tx, resource.service_id, resource.region_id, resource.name) is not None:
        raise Conflict(
            f"Conflict occurred attempting to store registered_limit - Duplicate entry: {resource.name} of service "
            f"{resource.service_id} has one already. Update that."
        )


def register(tx: Tx, resource: Resource, default_limit: int, description: str | None) -> RegisteredLimit:
    """Add a registered limit; raise Conflict when the resource has one."""
    _require_place(tx, resource)
    _require_free(tx, resource)
    row = RegisteredLimit(
        id=ids.new_hex_id(),
        service_id=resource.service_id,
        region_id=resource.region_id,
        resource_name=resource.name,
        default_limit=default_limit,
        description=description,
    )
    tx.add(row)
    tx.flush()
    return row


def _refuse_overridden(tx: Tx, row: RegisteredLimit) -> None:
    if limits.is_overridden(tx, row.id):
        raise Forbidden(
            f"Unable to update or delete registered limit {row.id} because there are project limits associated with "
            "it: delete those first."
        )


def update_registered(
    tx: Tx, row: RegisteredLimit, resource: Resource, default_limit: int, description: str | None
) -> None:
    """Change a registered limit that no limit rests on."""
    _refuse_overridden(tx, row)
    if resource != Resource(row.service_id, row.region_id, row.resource_name):
        _require_place(tx, resource)
        _require_free(tx, resource)
    row.service_id, row.region_id, row.resource_name = resource.service_id, resource.region_id, resource.name
    row.default_limit, row.description = default_limit, description


def delete_registered(tx: Tx, row: RegisteredLimit) -> None:
    """Remove a registered limit that no limit rests on."""
    _refuse_overridden(tx, row)
    tx.delete(row)


@dataclass(frozen=True)
class NewLimit:
    """A limit asked for, for a project or a domain."""

    resource: Resource
    owner_id: str
    value: int
    description: str | None


def create(tx: Tx, settings: IdentitySettings, asked: list[NewLimit]) -> list[Limit]:
    """Add limits, all or none; they are judged together, so a domain's and its projects' may come at once."""
    added = [_add(tx, one) for one in asked]
    tx.flush()
    for row in added:
        _check(tx, settings, row)
    return added


def _add(tx: Tx, asked: NewLimit) -> Limit:
    _require_place(tx, asked.resource)
    owner = projects.get_project(tx, asked.owner_id)
    if owner is None:
        raise Invalid(f"Could not find project or domain: {asked.owner_id}. A limit is for one of them.")
    resource = asked.resource
    registered = limits.find_registered_limit(tx, resource.service_id, resource.region_id, resource.name)
    if registered is None:
        raise Forbidden(
            f"Unable to create a limit that has no corresponding registered limit: register one for {resource.name} "
            f"of service {resource.service_id} first."
        )
    project_id, domain_id = (NONE, owner.id) if owner.is_domain else (owner.id, NONE)
    if limits.find_limit(tx, registered.id, project_id, domain_id) is not None:
        raise Conflict(
            f"Conflict occurred attempting to store limit - Duplicate entry: {owner.id} has one for {resource.name} "
            "already. Update that."
        )
    row = Limit(
        id=ids.new_hex_id(),
        registered_limit_id=registered.id,
        project_id=project_id,
        domain_id=domain_id,
        resource_limit=asked.value,
        description=asked.description,
    )
    tx.add(row)
    tx.flush()
    return row


def update(tx: Tx, settings: IdentitySettings, row: Limit, value: int, description: str | None) -> None:
    """Change a limit."""
    row.resource_limit, row.description = value, description
    tx.flush()
    _check(tx, settings, row)


def _size(value: int) -> float:
    return math.inf if value == UNLIMITED else value


def _check(tx: Tx, settings: IdentitySettings, row: Limit) -> None:
    """Raise Forbidden for a limit that the model does not allow."""
    if settings.limit_model == FLAT:
        return
    domain_id = row.domain_id
    if domain_id == NONE:
        project = projects.get_project(tx, row.project_id)
        domain_id = project.domain_id if project is not None else NONE
    above = _of_domain(tx, row.registered_limit_id, domain_id)
    below = limits.limits_below(tx, row.registered_limit_id, domain_id) if row.domain_id != NONE else [row]
    for other in below:
        if _size(other.resource_limit) > _size(above):
            raise Forbidden(
                f"Invalid resource limit: project {other.project_id} would have {other.resource_limit} and its domain "
                f"{domain_id} {above}, but no project may have more than its domain."
            )


def _of_domain(tx: Tx, registered_limit_id: str, domain_id: str) -> int:
    """Return what a domain may have: its own limit, else the registered default."""
    own = limits.find_limit(tx, registered_limit_id, NONE, domain_id)
    if own is not None:
        return own.resource_limit
    registered = limits.get_registered_limit(tx, registered_limit_id)
    return registered.default_limit if registered is not None else UNLIMITED
