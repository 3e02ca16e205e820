"""Policy files kept for services of other makes, and which endpoints they are for (OS-ENDPOINT-POLICY).

Rule: the nearest association wins: the endpoint's own, its service's in its region or one above, its service's.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, changes
from pileus.services.identity.api.catalog import endpoints, services
from pileus.services.identity.api.regions import regions
from pileus.services.identity.api.router import api, extra, listing, missing, url
from pileus.services.identity.api.rules import ADMIN, CLOUD, SYSTEM_READER
from pileus.services.identity.app import endpoint_policies
from pileus.services.identity.model import Endpoint
from pileus.services.identity.model.endpoints import ANYWHERE, PolicyAssociation, PolicyFile
from pileus.services.identity.store import policies

LIST = Rule("identity:list_policies", SYSTEM_READER, scopes=CLOUD)
GET = Rule("identity:get_policy", SYSTEM_READER, scopes=CLOUD)
CREATE = Rule("identity:create_policy", ADMIN, scopes=CLOUD)
UPDATE = Rule("identity:update_policy", ADMIN, scopes=CLOUD)
DELETE = Rule("identity:delete_policy", ADMIN, scopes=CLOUD)
FOR_ENDPOINT = Rule("identity:get_policy_for_endpoint", SYSTEM_READER, scopes=CLOUD)
LIST_ENDPOINTS = Rule("identity:list_endpoints_for_policy", SYSTEM_READER, scopes=CLOUD)

Type = Annotated[str, msgspec.Meta(max_length=255)]


class PolicyCreate(OpenBody):
    blob: str
    type: Type
    extra: Extra = {}


class PolicyUpdate(OpenBody):
    blob: str | UnsetType = UNSET
    type: Type | UnsetType = UNSET
    extra: Extra = {}


@api.loader(PolicyFile)
def load_policy(tx: Tx, ctx: Context, id: str) -> PolicyFile:
    return policies.get_policy(tx, id) or missing("policy", id)


def _view(ctx: Context, row: PolicyFile) -> dict[str, Any]:
    links = {"self": url(ctx, f"/policies/{row.id}")}
    return {**row.extra, "id": row.id, "type": row.type, "blob": row.blob, "links": links}


@api.get("/policies", LIST, wrap="policies")
def list_policies(tx: Tx, ctx: Context, request: Request) -> Page:
    columns = {"id": PolicyFile.id, "type": PolicyFile.type}
    rows, marker = listing(tx, request, policies.select_policies(), PolicyFile, columns)
    return Page([_view(ctx, row) for row in rows], marker)


@api.get("/policies/{policy}", GET, wrap="policy")
def show_policy(ctx: Context, policy: PolicyFile) -> dict[str, Any]:
    return _view(ctx, policy)


@api.post("/policies", CREATE, wrap="policy", status=201)
def create_policy(tx: Tx, ctx: Context, body: PolicyCreate) -> dict[str, Any]:
    row = PolicyFile(id=ids.new_hex_id(), type=body.type, blob=body.blob, extra=extra(body.extra))
    tx.add(row)
    return _view(ctx, row)


@api.patch("/policies/{policy}", UPDATE, wrap="policy")
def update_policy(tx: Tx, ctx: Context, policy: PolicyFile, body: PolicyUpdate) -> dict[str, Any]:
    given = changes(body)
    kept = extra(given.pop("extra"))
    if not given and not kept:
        raise Invalid("The policy must have at least one attribute to change: blob or type.")
    for field, value in given.items():
        setattr(policy, field, value)
    policy.extra = {**policy.extra, **kept}
    return _view(ctx, policy)


@api.delete("/policies/{policy}", DELETE)
def delete_policy(tx: Tx, policy: PolicyFile) -> None:
    policies.delete_policy(tx, policy)


@api.get("/policies/{policy}/OS-ENDPOINT-POLICY/endpoints", LIST_ENDPOINTS, wrap="endpoints")
def list_endpoints(tx: Tx, ctx: Context, policy: PolicyFile) -> Page:
    return Page(endpoints.views(tx, ctx, endpoint_policies.endpoints_of(tx, policy)))


@api.get("/endpoints/{endpoint}/OS-ENDPOINT-POLICY/policy", FOR_ENDPOINT, wrap="policy")
def show_policy_of_endpoint(tx: Tx, ctx: Context, endpoint: Endpoint) -> dict[str, Any]:
    return _view(ctx, endpoint_policies.policy_of(tx, endpoint))


@dataclass(frozen=True)
class Kind:
    """One kind of association: the words of its path and of its rules."""

    path: str
    rule: str

    def target(self, tx: Tx, ctx: Context, request: Request) -> tuple[str, str, str]:
        """Return endpoint, service and region, loaded."""
        given = request.params
        return (
            endpoints.load(tx, ctx, given["endpoint"]).id if "endpoint" in given else ANYWHERE,
            services.load(tx, ctx, given["service"]).id if "service" in given else ANYWHERE,
            regions.load(tx, ctx, given["region"]).id if "region" in given else ANYWHERE,
        )

    def existing(self, tx: Tx, ctx: Context, request: Request, policy: PolicyFile) -> PolicyAssociation:
        """Return the association; raise NotFound when there is none, or one with another policy."""
        row = policies.get_association(tx, *self.target(tx, ctx, request))
        if row is None or row.policy_id != policy.id:
            raise NotFound(f"Policy {policy.id} is not associated with this {self.rule.replace('_', ' ')}.")
        return row


def declare(kind: Kind) -> None:
    """Declare the verbs of one kind."""
    path = f"/policies/{{policy}}/OS-ENDPOINT-POLICY/{kind.path}"
    check = Rule(f"identity:check_policy_association_for_{kind.rule}", SYSTEM_READER, scopes=CLOUD)
    create = Rule(f"identity:create_policy_association_for_{kind.rule}", ADMIN, scopes=CLOUD)
    remove = Rule(f"identity:delete_policy_association_for_{kind.rule}", ADMIN, scopes=CLOUD)

    @api.get(path, check)
    def check_association(tx: Tx, ctx: Context, request: Request, policy: PolicyFile) -> None:
        kind.existing(tx, ctx, request, policy)

    @api.put(path, create)
    def create_association(tx: Tx, ctx: Context, request: Request, policy: PolicyFile) -> None:
        endpoint_policies.associate(tx, policy, *kind.target(tx, ctx, request))

    @api.delete(path, remove)
    def delete_association(tx: Tx, ctx: Context, request: Request, policy: PolicyFile) -> None:
        tx.delete(kind.existing(tx, ctx, request, policy))


for _kind in (
    Kind("endpoints/{endpoint}", "endpoint"),
    Kind("services/{service}", "service"),
    Kind("services/{service}/regions/{region}", "region_and_service"),
):
    declare(_kind)
