"""Policy files and what they are associated with."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model import Endpoint
from pileus.services.identity.model.endpoints import ANYWHERE, PolicyAssociation, PolicyFile


def get_policy(tx: Tx, id: str) -> PolicyFile | None:
    """Return a policy."""
    return tx.get(PolicyFile, id)


def select_policies() -> Select[Any]:
    """Return the statement of a listing."""
    return select(PolicyFile)


def get_association(tx: Tx, endpoint_id: str, service_id: str, region_id: str) -> PolicyAssociation | None:
    """Return the association of an endpoint, of a service in a region, or of a service."""
    return tx.get(PolicyAssociation, (endpoint_id, service_id, region_id))


def associations_of(tx: Tx, policy_id: str) -> list[PolicyAssociation]:
    """Return what a policy is associated with."""
    return list(tx.scalars(select(PolicyAssociation).where(PolicyAssociation.policy_id == policy_id)))


def associations_for(tx: Tx, endpoint: Endpoint) -> list[PolicyAssociation]:
    """Return every association that may count for an endpoint: its own and all of its service."""
    row = PolicyAssociation
    return list(
        tx.scalars(select(row).where((row.endpoint_id == endpoint.id) | (row.service_id == endpoint.service_id)))
    )


def delete_policy(tx: Tx, policy: PolicyFile) -> None:
    """Remove a policy and its associations."""
    tx.execute(delete(PolicyAssociation).where(PolicyAssociation.policy_id == policy.id))
    tx.delete(policy)
    tx.flush()


def delete_associations(tx: Tx, *, endpoint_ids: Sequence[str] = (), service_id: str = "", region_id: str = "") -> None:
    """Remove the associations of what is gone."""
    row = PolicyAssociation
    gone = row.endpoint_id.in_(endpoint_ids)
    if service_id != ANYWHERE:
        gone |= row.service_id == service_id
    if region_id != ANYWHERE:
        gone |= row.region_id == region_id
    tx.execute(delete(row).where(gone))
