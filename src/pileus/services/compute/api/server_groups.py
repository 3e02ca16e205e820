"""Server groups: servers that shall be together or apart."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from pileus.kernel import clock, ids, quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Body, Query, View, at_most, page_size, since, until
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.limits import LIMITS
from pileus.services.compute.model import ServerGroup
from pileus.services.compute.store import catalog
from pileus.services.compute.store import servers as store

Name = Annotated[str, Meta(min_length=1, max_length=255)]
New = Literal["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"]


class GroupCreate(Body, kw_only=True):
    name: Name
    policies: Annotated[Annotated[list[New], Meta(min_length=1, max_length=1)] | UnsetType, until("2.63")] = UNSET
    policy: Annotated[New | UnsetType, since("2.64")] = UNSET
    rules: Annotated[Annotated[dict[Name, int | Name], at_most(10)] | UnsetType, since("2.64")] = UNSET


class GroupView(View, kw_only=True):
    id: str
    name: str
    members: list[str]
    policies: Annotated[list[str] | UnsetType, until("2.63")] = UNSET
    metadata: Annotated[dict[str, str] | UnsetType, until("2.63")] = UNSET
    policy: Annotated[str | UnsetType, since("2.64")] = UNSET
    rules: Annotated[dict[str, Any] | UnsetType, since("2.64")] = UNSET
    project_id: Annotated[str, since("2.13")]
    user_id: Annotated[str, since("2.13")]


class GroupQuery(Query, kw_only=True):
    strict_since = "2.75"

    all_projects: str | None = None
    limit: int | None = None
    offset: int = 0


def _view(group: ServerGroup, members: list[str]) -> GroupView:
    return GroupView(
        id=group.id,
        name=group.name,
        members=members,
        policies=[group.policy],
        metadata={},
        policy=group.policy,
        rules=group.rules,
        project_id=group.project_id,
        user_id=group.user_id,
    )


@api.get("/os-server-groups", rules.GROUPS_INDEX, wrap="server_groups")
def list_groups(tx: Tx, ctx: Context, query: GroupQuery) -> list[GroupView]:
    everywhere = query.all_projects is not None and ctx.allows(rules.GROUPS_ALL)
    statement = catalog.groups_of(None if everywhere else ctx.project_id).order_by(ServerGroup.created_at)
    if query.offset < 0 or (query.limit or 0) < 0:
        raise Invalid("limit and offset must be zero or more.")
    groups = list(tx.scalars(statement.offset(query.offset).limit(page_size(tx, query.limit or None))))
    members = catalog.members(tx, [group.id for group in groups])
    return [_view(group, [id for id, _ in members.get(group.id, [])]) for group in groups]


@api.get("/os-server-groups/{group}", rules.GROUPS_SHOW, wrap="server_group")
def show_group(tx: Tx, group: ServerGroup) -> GroupView:
    return _view(group, [id for id, _ in catalog.members(tx, [group.id]).get(group.id, [])])


@api.post("/os-server-groups", rules.GROUPS_CREATE, wrap="server_group", status=200)
def create_group(tx: Tx, ctx: Context, body: GroupCreate) -> GroupView:
    policy = body.policy if ctx.version >= (2, 64) else (body.policies[0] if body.policies else UNSET)
    if policy is UNSET:
        member = "policy" if ctx.version >= (2, 64) else "policies"
        raise Invalid(f"Invalid input for server_group: missing required field '{member}'.")
    if policy.startswith("soft-") and ctx.version < (2, 15):
        raise Invalid(f"Invalid input for policies: '{policy}' came with version 2.15.")
    if body.name != body.name.strip() or not body.name.isprintable():
        raise Invalid(f"Invalid input for name: {body.name!r} must be printable, without spaces around it.")
    quota.claim(tx, ctx.project_id, LIMITS, {"server_groups": 1})
    group = ServerGroup(
        id=ids.new_id(),
        project_id=ctx.project_id,
        user_id=ctx.user_id,
        name=body.name,
        policy=policy,
        rules=_rules(policy, body.rules),
        created_at=clock.now(),
    )
    tx.add(group)
    tx.flush()
    return _view(group, [])


def _rules(policy: str, given: dict[str, int | str] | UnsetType) -> dict[str, Any]:
    if given is UNSET or not given:
        return {}
    if policy != "anti-affinity":
        raise Invalid("Only anti-affinity policy supports rules.")
    most = given.get("max_server_per_host")
    if set(given) != {"max_server_per_host"} or not str(most).isdigit() or int(str(most)) < 1:
        raise Invalid("Invalid input for rules: the only rule is max_server_per_host, a whole number of at least 1.")
    return {"max_server_per_host": int(str(most))}


@api.delete("/os-server-groups/{group}", rules.GROUPS_DELETE)
def delete_group(tx: Tx, group: ServerGroup) -> None:
    store.leave_group(tx, group.id)
    tx.delete(group)
