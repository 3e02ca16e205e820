"""Resource providers, and their aggregates."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Request, Response, since
from pileus.services.placement.api.router import (
    OPERATOR,
    Generation,
    ProviderId,
    Uuid,
    Uuids,
    api,
    created,
    dashed,
    links,
)
from pileus.services.placement.app import inventory, requests
from pileus.services.placement.app.requests import Group
from pileus.services.placement.model import Provider, ProviderAggregate, ProviderTrait
from pileus.services.placement.store import providers
from pileus.services.placement.store.providers import has_room

LIST = Rule("placement:resource_providers:list", OPERATOR)
CREATE = Rule("placement:resource_providers:create", OPERATOR)
SHOW = Rule("placement:resource_providers:show", OPERATOR)
UPDATE = Rule("placement:resource_providers:update", OPERATOR)
DELETE = Rule("placement:resource_providers:delete", OPERATOR)
LIST_AGGREGATES = Rule("placement:resource_providers:aggregates:list", OPERATOR)
UPDATE_AGGREGATES = Rule("placement:resource_providers:aggregates:update", OPERATOR)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ProviderCreate(Body):
    name: Name
    uuid: Uuid | None = None
    parent_provider_uuid: Annotated[ProviderId | None, since("1.14")] = None


class ProviderUpdate(Body):
    name: Name
    parent_provider_uuid: Annotated[ProviderId | UnsetType | None, since("1.14")] = UNSET


class Aggregates(Body):
    aggregates: Uuids
    resource_provider_generation: Generation


def _view(ctx: Context, row: Provider) -> dict[str, Any]:
    parts = [("inventories", (1, 0)), ("usages", (1, 0)), ("aggregates", (1, 1)), ("traits", (1, 6))]
    rels = [name for name, first in [*parts, ("allocations", (1, 11))] if ctx.version >= first]
    view: dict[str, Any] = {
        "uuid": row.uuid,
        "name": row.name,
        "generation": row.generation,
        "links": links(f"/resource_providers/{row.uuid}", *rels),
    }
    if ctx.version >= (1, 14):
        view |= {"parent_provider_uuid": row.parent_uuid, "root_provider_uuid": row.root_uuid}
    return view


@api.get("/resource_providers", LIST, wrap="resource_providers")
def list_providers(tx: Tx, ctx: Context, request: Request) -> list[dict[str, Any]]:
    statement = providers.select_providers()
    group = Group("")
    for key, value in request.query_items():
        match key:
            case "name":
                statement = statement.where(Provider.name == value)
            case "uuid":
                statement = statement.where(Provider.uuid == _uuid(value, key))
            case "in_tree" if ctx.version >= (1, 14):
                root = select(Provider.root_uuid).where(Provider.uuid == _uuid(value, key))
                statement = statement.where(Provider.root_uuid.in_(root))
            case "resources" if ctx.version >= (1, 4):
                group.resources = requests.parse_resources(value)
            case "required" if ctx.version >= (1, 18):
                requests.add_traits(group, value, ctx.version)
            case "member_of" if ctx.version >= (1, 3):
                requests.add_aggregates(group, value, ctx.version)
            case _:
                raise Invalid(f"Invalid query string parameters: Additional properties are not allowed ('{key}').")
    rows = list(tx.scalars(_narrowed(tx, statement, group)))
    return [_view(ctx, row) for row in _with_room(tx, rows, group.resources)]


def _with_room(tx: Tx, rows: list[Provider], resources: dict[str, int]) -> list[Provider]:
    """Return the providers that can give all of ``resources`` by themselves."""
    if not resources:
        return rows
    if unknown := inventory.unknown_classes(tx, resources):
        raise Invalid(f"Invalid resource class in resources parameter: {', '.join(sorted(unknown))}.")
    room = providers.room(tx, resources)
    return [
        row for row in rows if all(has_room(room.get(row.uuid, {}), name, amount) for name, amount in resources.items())
    ]


def _uuid(text: str, name: str) -> str:
    if not ids.is_uuid(text):
        raise Invalid(f"Invalid query string parameters: {name} must be a UUID, not {text[:64]!r}.")
    return dashed(text)


def _narrowed(tx: Tx, statement: Any, group: Group) -> Any:
    """Narrow a listing by traits and aggregates."""
    inventory.require_traits(tx, {trait for words in group.required for trait in words} | group.forbidden)
    for row, column, wanted, unwanted in (
        (ProviderTrait, ProviderTrait.trait, group.required, group.forbidden),
        (ProviderAggregate, ProviderAggregate.aggregate_uuid, group.member_of, group.not_member_of),
    ):
        for words in wanted:
            statement = statement.where(Provider.uuid.in_(select(row.provider_uuid).where(column.in_(words))))
        if unwanted:
            statement = statement.where(Provider.uuid.not_in(select(row.provider_uuid).where(column.in_(unwanted))))
    return statement


@api.post("/resource_providers", CREATE, body="")
def create_provider(tx: Tx, ctx: Context, body: ProviderCreate) -> Response:
    parent = dashed(body.parent_provider_uuid) if body.parent_provider_uuid else None
    row = inventory.create_provider(tx, dashed(body.uuid) if body.uuid else ids.new_id(), body.name, parent)
    return created(ctx, f"/resource_providers/{row.uuid}", _view(ctx, row) if ctx.version >= (1, 20) else None)


@api.get("/resource_providers/{provider}", SHOW)
def show_provider(ctx: Context, provider: Provider) -> dict[str, Any]:
    return _view(ctx, provider)


@api.put("/resource_providers/{provider}", UPDATE, body="")
def update_provider(tx: Tx, ctx: Context, provider: Provider, body: ProviderUpdate) -> dict[str, Any]:
    inventory.rename_provider(tx, provider, body.name)
    parent = body.parent_provider_uuid
    if parent is not UNSET and (dashed(parent) if parent else None) != provider.parent_uuid:
        if provider.parent_uuid is not None and ctx.version < (1, 37):
            raise Invalid(
                "Object action update failed because: re-parenting a provider is not currently allowed: "
                "use microversion 1.37."
            )
        inventory.move_provider(tx, provider, dashed(parent) if parent else None)
    return _view(ctx, provider)


@api.delete("/resource_providers/{provider}", DELETE)
def delete_provider(tx: Tx, provider: Provider) -> None:
    inventory.remove_provider(tx, provider.uuid)


def _aggregates(tx: Tx, ctx: Context, provider: Provider) -> dict[str, Any]:
    view: dict[str, Any] = {"aggregates": sorted(providers.aggregates_of(tx, [provider.uuid]).get(provider.uuid, ()))}
    if ctx.version >= (1, 19):
        view["resource_provider_generation"] = provider.generation
    return view


@api.get("/resource_providers/{provider}/aggregates", LIST_AGGREGATES, since="1.1")
def list_aggregates(tx: Tx, ctx: Context, provider: Provider) -> dict[str, Any]:
    return _aggregates(tx, ctx, provider)


@api.put("/resource_providers/{provider}/aggregates", UPDATE_AGGREGATES, since="1.1", until="1.18", body="")
def set_aggregates_blindly(tx: Tx, ctx: Context, provider: Provider, body: Uuids) -> dict[str, Any]:
    providers.set_aggregates(tx, provider.uuid, body)
    return _aggregates(tx, ctx, provider)


@api.put("/resource_providers/{provider}/aggregates", UPDATE_AGGREGATES, since="1.19", body="")
def set_aggregates(tx: Tx, ctx: Context, provider: Provider, body: Aggregates) -> dict[str, Any]:
    inventory.take_generation(tx, provider, body.resource_provider_generation)
    providers.set_aggregates(tx, provider.uuid, body.aggregates)
    return _aggregates(tx, ctx, provider)
