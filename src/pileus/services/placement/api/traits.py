"""Traits, and those of a provider."""

from typing import Annotated, Any

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Query, Response, at_most
from pileus.services.placement.api.router import OPERATOR, Generation, TraitName, api, created, split_filter
from pileus.services.placement.app import inventory
from pileus.services.placement.model import STANDARD_TRAITS, CustomTrait, Provider
from pileus.services.placement.store import providers

LIST = Rule("placement:traits:list", OPERATOR)
SHOW = Rule("placement:traits:show", OPERATOR)
UPDATE = Rule("placement:traits:update", OPERATOR)
DELETE = Rule("placement:traits:delete", OPERATOR)
LIST_OF = Rule("placement:resource_providers:traits:list", OPERATOR)
UPDATE_OF = Rule("placement:resource_providers:traits:update", OPERATOR)
DELETE_OF = Rule("placement:resource_providers:traits:delete", OPERATOR)


class TraitQuery(Query):
    name: str | None = None
    associated: str | None = None


class ProviderTraits(Body):
    traits: Annotated[list[TraitName], at_most(1000)]
    resource_provider_generation: Generation


@api.get("/traits", LIST, since="1.6", wrap="traits")
def list_traits(tx: Tx, query: TraitQuery) -> list[str]:
    found = STANDARD_TRAITS | providers.custom_traits(tx).keys()
    if query.name is not None:
        kind, colon, text = query.name.partition(":")
        if not colon or kind not in ("in", "startswith") or not text:
            raise Invalid("Badly formatted name parameter. Expected name=in:A,B or name=startswith:PREFIX.")
        names = split_filter(text, "name")
        found = {t for t in found if (t in names if kind == "in" else t.startswith(text))}
    if query.associated is not None:
        wanted = query.associated.lower()
        if wanted not in ("true", "false"):
            raise Invalid(f"The query parameter 'associated' only accepts 'true' or 'false', not {wanted[:40]!r}.")
        used = providers.used_traits(tx)
        found = found & used if wanted == "true" else found - used
    return sorted(found)


def _there(tx: Tx, name: str) -> bool:
    return not inventory.unknown_traits(tx, [name])


@api.get("/traits/{trait}", SHOW, since="1.6")
def show_trait(tx: Tx, trait: str) -> None:
    if not _there(tx, trait):
        raise NotFound(f"No such trait {trait}.")


@api.put("/traits/{trait}", UPDATE, since="1.6")
def ensure_trait(tx: Tx, ctx: Context, trait: str) -> Response:
    if not inventory.CUSTOM.match(trait) or len(trait) > 255:
        raise Invalid(
            f"The trait is invalid: {trait[:255]}. A valid trait must be no longer than 255 characters, start with the "
            'prefix "CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_".'
        )
    if _there(tx, trait):
        return Response(204, headers=[("Location", f"{ctx.base_url}/placement/traits/{trait}")], media_type=None)
    tx.add(CustomTrait(name=trait, updated_at=clock.now()))
    return created(ctx, f"/traits/{trait}")


@api.delete("/traits/{trait}", DELETE, since="1.6")
def delete_trait(tx: Tx, trait: str) -> None:
    if trait in STANDARD_TRAITS:
        raise Invalid(f"Cannot delete standard trait {trait}.")
    row = tx.get(CustomTrait, trait)
    if row is None:
        raise NotFound(f"No such trait {trait}.")
    if trait in providers.used_traits(tx):
        raise Conflict(f"The trait {trait} is in use by a resource provider: take it from there first.")
    tx.delete(row)


def _view(tx: Tx, provider: Provider) -> dict[str, Any]:
    traits = sorted(providers.traits_of(tx, [provider.uuid]).get(provider.uuid, ()))
    return {"traits": traits, "resource_provider_generation": provider.generation}


@api.get("/resource_providers/{provider}/traits", LIST_OF, since="1.6")
def list_traits_of(tx: Tx, provider: Provider) -> dict[str, Any]:
    return _view(tx, provider)


@api.put("/resource_providers/{provider}/traits", UPDATE_OF, since="1.6", body="")
def set_traits_of(tx: Tx, provider: Provider, body: ProviderTraits) -> dict[str, Any]:
    inventory.require_traits(tx, body.traits)
    inventory.take_generation(tx, provider, body.resource_provider_generation)
    providers.set_traits(tx, provider.uuid, body.traits)
    return _view(tx, provider)


@api.delete("/resource_providers/{provider}/traits", DELETE_OF, since="1.6")
def delete_traits_of(tx: Tx, provider: Provider) -> None:
    inventory.take_generation(tx, provider, provider.generation)
    providers.set_traits(tx, provider.uuid, [])
