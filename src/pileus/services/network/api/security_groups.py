"""Security groups and their rules."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from sqlalchemy import ColumnElement, or_, select

from pileus.kernel.context import Context
from pileus.kernel.db import NeedsWrite, Tx, writable
from pileus.kernel.rest.regular import Attr, ListQuery, Name, Resource, Standard, Tagged, boolean
from pileus.services.identity import public as identity
from pileus.services.network.api.root import api
from pileus.services.network.app import groups as app
from pileus.services.network.app.references import GroupId
from pileus.services.network.model import SHARED, SecurityGroup, SecurityGroupRule
from pileus.services.network.store import groups as store
from pileus.services.network.store import sharing


class GroupAttributes(Tagged, kw_only=True):
    name: Name = ""
    stateful: bool = True
    shared: Annotated[bool, Attr(on="v", find="f", source="")] = False
    security_group_rules: Annotated[list[Any], Attr(on="v", find="", source="")] = []


class RuleAttributes(Standard, kw_only=True):
    security_group_id: Annotated[GroupId, Attr(on="cv")]
    direction: Annotated[Literal["ingress", "egress"], Attr(on="cv")]
    ethertype: Annotated[str, Attr(on="cv")] = "IPv4"
    protocol: Annotated[str | int | None, Attr(on="cv")] = None
    port_range_min: Annotated[int | None, Attr(on="cv")] = None
    port_range_max: Annotated[int | None, Attr(on="cv")] = None
    remote_ip_prefix: Annotated[str | None, Attr(on="cv")] = None
    normalized_cidr: Annotated[str | None, Attr(on="v", find="", source="remote_ip_prefix", show=app.normalised)] = None
    remote_group_id: Annotated[GroupId | None, Attr(on="cv")] = None
    description: Annotated[Name, Attr(on="cv")] = ""


def visible(ctx: Context) -> ColumnElement[bool] | None:
    """A project sees its own groups and those shared with it."""
    return sharing.own_or_shared(SecurityGroup, "security_group", SHARED)(ctx)


groups = Resource(
    api, "security_group", "security_groups", GroupAttributes, SecurityGroup, title="Security group", tagged=True,
    visible=visible,
)  # fmt: skip
groups.create(app.create_group)
groups.update(app.update_group)
groups.delete(app.delete_group)

rules = Resource(
    api, "security_group_rule", "security_group_rules", RuleAttributes, SecurityGroupRule,
    title="Security group rule",
)  # fmt: skip
rules.create(app.create_rule)
rules.delete(app.delete_rule)


@groups.before_list
def ensure_default(tx: Tx, ctx: Context, query: ListQuery) -> None:
    """Make a project's default group before its groups are listed, by itself or by an admin who names it."""
    named = query.filters.get("project_id") or query.filters.get("tenant_id") or []
    project_id = ctx.project_id
    if named and ctx.is_admin:
        project_id = named[0] if identity.project_exists(tx, named[0]) else None
    if project_id and store.default_group_id(tx, project_id) is None:
        if not writable(tx):
            raise NeedsWrite
        app.default_group(tx, project_id)


@groups.related
def related(tx: Tx, ctx: Context, rows: Sequence[SecurityGroup], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    ids = [row.id for row in rows]
    found: dict[str, dict[str, Any]] = {}
    if "security_group_rules" in wanted:
        by_group = store.rules_of(tx, ids)
        every = [rule for held in by_group.values() for rule in held]
        views = {rule.id: view for rule, view in zip(every, rules.views(tx, ctx, every), strict=True)}
        found["security_group_rules"] = {id: [views[rule.id] for rule in held] for id, held in by_group.items()}
    if "shared" in wanted:
        actions = sharing.share_actions(tx, "security_group", ids, ctx.project_id)
        found["shared"] = {id: SHARED in held for id, held in actions.items()}
    return found


@groups.filter("shared")
def by_share(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    shared = SecurityGroup.id.in_(sharing.shared_ids("security_group", ctx.project_id, [SHARED]))
    return or_(*(shared if boolean("shared", value) else ~shared for value in values))


@rules.visible_by
def visible_rules(ctx: Context) -> ColumnElement[bool] | None:
    """A project sees its own rules and those of the groups it sees."""
    condition = visible(ctx)
    if condition is None:
        return None
    of_groups = SecurityGroupRule.security_group_id.in_(select(SecurityGroup.id).where(condition))
    return or_(SecurityGroupRule.project_id == ctx.project_id, of_groups)
