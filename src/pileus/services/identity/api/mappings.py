"""Mappings (OS-FEDERATION)."""

from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Extra, Page, Request, at_most, given
from pileus.services.identity.api.identity_providers import check_id
from pileus.services.identity.api.router import api, listing, url
from pileus.services.identity.api.rules import ADMIN, CLOUD, SYSTEM_READER
from pileus.services.identity.app.federation import providers
from pileus.services.identity.model.federation import Mapping
from pileus.services.identity.store import federation

LIST = Rule("identity:list_mappings", SYSTEM_READER, scopes=CLOUD)
GET = Rule("identity:get_mapping", SYSTEM_READER, scopes=CLOUD)
CREATE = Rule("identity:create_mapping", ADMIN, scopes=CLOUD)
UPDATE = Rule("identity:update_mapping", ADMIN, scopes=CLOUD)
DELETE = Rule("identity:delete_mapping", ADMIN, scopes=CLOUD)

BASE = "/OS-FEDERATION/mappings"


class MappingCreate(Body):
    rules: Annotated[list[Extra], at_most(100)]
    schema_version: str | None = None
    id: str | None = None


class MappingUpdate(Body):
    rules: Annotated[list[Extra], at_most(100)] | UnsetType = UNSET
    schema_version: str | UnsetType | None = UNSET
    id: str | None = None


def _view(ctx: Context, row: Mapping) -> dict[str, Any]:
    return {
        "id": row.id,
        "rules": row.rules,
        "schema_version": row.schema_version,
        "links": {"self": url(ctx, f"{BASE}/{row.id}")},
    }


@api.get(BASE, LIST, wrap="mappings")
def list_mappings(tx: Tx, ctx: Context, request: Request) -> Page:
    rows, marker = listing(tx, request, federation.select_mappings(), Mapping, {"id": Mapping.id})
    return Page([_view(ctx, row) for row in rows], marker)


@api.get(f"{BASE}/{{mapping}}", GET, wrap="mapping")
def show_mapping(tx: Tx, ctx: Context, mapping: str) -> dict[str, Any]:
    return _view(ctx, providers.require_mapping(tx, mapping))


@api.put(f"{BASE}/{{mapping}}", CREATE, wrap="mapping", status=201)
def create_mapping(tx: Tx, ctx: Context, mapping: str, body: MappingCreate) -> dict[str, Any]:
    row = providers.create_mapping(tx, ctx, check_id(mapping), body.rules, body.schema_version or "1.0")
    return _view(ctx, row)


@api.patch(f"{BASE}/{{mapping}}", UPDATE, wrap="mapping")
def update_mapping(tx: Tx, ctx: Context, mapping: str, body: MappingUpdate) -> dict[str, Any]:
    row = providers.require_mapping(tx, mapping)
    if not given(body.rules) and not given(body.schema_version):
        raise Invalid("mapping must have rules or schema_version.")
    rules = body.rules if given(body.rules) else row.rules
    version = body.schema_version if given(body.schema_version) else row.schema_version
    providers.update_mapping(tx, ctx, row, rules, version or row.schema_version)
    return _view(ctx, row)


@api.delete(f"{BASE}/{{mapping}}", DELETE)
def delete_mapping(tx: Tx, ctx: Context, mapping: str) -> None:
    providers.delete_mapping(tx, ctx, providers.require_mapping(tx, mapping))
