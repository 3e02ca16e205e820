"""Subnet pools and address scopes."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import ColumnElement, or_

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import ADMIN, ADMIN_OR_MEMBER, Rule
from pileus.kernel.rest import at_most
from pileus.kernel.rest.regular import Attr, Extension, Name, Resource, Standard, Tagged, boolean
from pileus.services.network.api.root import api
from pileus.services.network.app import pools as app
from pileus.services.network.app.references import AddressScopeId
from pileus.services.network.model import SHARED, AddressScope, SubnetPool
from pileus.services.network.store import sharing

Prefixes = Annotated[list[Name], at_most(100)]
Length = Annotated[int, msgspec.Meta(ge=0, le=128)]
AsText = Attr(null=False, show=str)
"""Clients get the lengths of prefixes as texts, and give numbers."""


class PoolAttributes(Tagged, kw_only=True):
    name: Annotated[Name, msgspec.Meta(min_length=1)]
    prefixes: Annotated[Prefixes, Attr(find="")]
    ip_version: Annotated[int, Attr(on="v")] = 4
    default_prefixlen: Annotated[Length | None, AsText] = None
    min_prefixlen: Annotated[Length | None, AsText] = None
    max_prefixlen: Annotated[Length | None, AsText] = None
    default_quota: Annotated[Annotated[int, msgspec.Meta(ge=0)] | None, Attr(null=False)] = None
    shared: Annotated[bool, Attr(on="cv", find="f", create=ADMIN, source="")] = False
    address_scope_id: AddressScopeId | None = None
    is_default: Annotated[bool, Attr(create=ADMIN, update=ADMIN)] = False


class ScopeAttributes(Standard, kw_only=True):
    name: Name = ""
    ip_version: Annotated[Literal[4, 6], Attr(on="cv")]
    shared: Annotated[bool, Attr(find="f", create=ADMIN, update=ADMIN, source="")] = False


class PrefixesBody(msgspec.Struct, forbid_unknown_fields=True):
    prefixes: Prefixes


ADD = Rule("add_prefixes", ADMIN_OR_MEMBER)
REMOVE = Rule("remove_prefixes", ADMIN_OR_MEMBER)

pools = Resource(
    api, "subnetpool", "subnetpools", PoolAttributes, SubnetPool, title="Subnet pool", quota=-1, tagged=True,
    visible=sharing.own_or_shared(SubnetPool, "subnetpool", SHARED),
)  # fmt: skip
pools.create(app.create_pool)
pools.update(app.update_pool)
pools.delete(app.delete_pool)

scopes = Resource(
    api, "address_scope", "address_scopes", ScopeAttributes, AddressScope, title="Address scope",
    extension=Extension("address-scope", "Address scope", "Address scopes of subnet pools and networks."),
    visible=sharing.own_or_shared(AddressScope, "address_scope", SHARED),
)  # fmt: skip
scopes.create(app.create_scope)
scopes.update(app.update_scope)
scopes.delete(app.delete_scope)


def _with_sharing(resource: Resource[Any], kind: str, row: Any) -> None:
    @resource.related
    def related(tx: Tx, ctx: Context, rows: Sequence[Any], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
        actions = sharing.share_actions(tx, kind, [row.id for row in rows], ctx.project_id)
        return {"shared": {id: SHARED in held for id, held in actions.items()}}

    @resource.filter("shared")
    def by_share(ctx: Context, values: list[str]) -> ColumnElement[bool]:
        shared = row.id.in_(sharing.shared_ids(kind, ctx.project_id, [SHARED]))
        return or_(*(shared if boolean("shared", value) else ~shared for value in values))


_with_sharing(pools, "subnetpool", SubnetPool)
_with_sharing(scopes, "address_scope", AddressScope)


@api.put("/subnetpools/{id}/add_prefixes", ADD, body="", about=pools.about)
def add_prefixes(tx: Tx, ctx: Context, row: SubnetPool, body: PrefixesBody) -> dict[str, list[str]]:
    app.update_pool(tx, ctx, row, {"prefixes": [*row.prefixes, *body.prefixes]})
    pools.touch(tx, ctx, row)
    return {"prefixes": row.prefixes}


@api.put("/subnetpools/{id}/remove_prefixes", REMOVE, body="", about=pools.about)
def remove_prefixes(tx: Tx, ctx: Context, row: SubnetPool, body: PrefixesBody) -> dict[str, list[str]]:
    app.remove_prefixes(tx, ctx, row, body.prefixes)
    pools.touch(tx, ctx, row)
    return {"prefixes": row.prefixes}
