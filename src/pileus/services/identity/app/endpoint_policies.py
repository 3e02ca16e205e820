"""Which policy file an endpoint is to use, and which endpoints use one."""

from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.services.identity.model import Endpoint
from pileus.services.identity.model.endpoints import ANYWHERE, PolicyAssociation, PolicyFile
from pileus.services.identity.store import catalog, policies


def associate(tx: Tx, policy: PolicyFile, endpoint_id: str, service_id: str, region_id: str) -> None:
    """Associate a policy; whatever was associated with the same before gives way."""
    row = policies.get_association(tx, endpoint_id, service_id, region_id)
    if row is None:
        row = PolicyAssociation(endpoint_id=endpoint_id, service_id=service_id, region_id=region_id)
        tx.add(row)
    row.policy_id = policy.id


def policy_of(tx: Tx, endpoint: Endpoint) -> PolicyFile:
    """Return the policy of an endpoint; raise NotFound when nothing associates one with it."""
    found = {(row.endpoint_id, row.service_id, row.region_id): row for row in policies.associations_for(tx, endpoint)}
    places = [(endpoint.id, ANYWHERE, ANYWHERE)]
    places += [(ANYWHERE, endpoint.service_id, id) for id in _regions_above(tx, endpoint.region_id)]
    places.append((ANYWHERE, endpoint.service_id, ANYWHERE))
    for place in places:
        policy = policies.get_policy(tx, found[place].policy_id) if place in found else None
        if policy is not None:
            return policy
    raise NotFound(f"No policy is associated with endpoint {endpoint.id}.")


def _regions_above(tx: Tx, region_id: str | None) -> list[str]:
    """Return a region and those it stands in, nearest first."""
    above = []
    while region_id is not None and (region := catalog.get_region(tx, region_id)) is not None:
        above.append(region.id)
        region_id = region.parent_region_id
    return above


def endpoints_of(tx: Tx, policy: PolicyFile) -> list[Endpoint]:
    """Return the endpoints that a policy's associations reach."""
    endpoints = list(tx.scalars(catalog.select_endpoints().order_by(Endpoint.id)))
    parents = {row.id: row.parent_region_id for row in tx.scalars(catalog.select_regions())}
    reached: dict[str, Endpoint] = {}
    for row in policies.associations_of(tx, policy.id):
        for endpoint in endpoints:
            own = row.endpoint_id == endpoint.id
            served = row.service_id == endpoint.service_id and (
                row.region_id == ANYWHERE or _stands_in(endpoint.region_id, row.region_id, parents)
            )
            if own or served:
                reached[endpoint.id] = endpoint
    return list(reached.values())


def _stands_in(region_id: str | None, above: str, parents: dict[str, str | None]) -> bool:
    while region_id is not None:
        if region_id == above:
            return True
        region_id = parents.get(region_id)
    return False
