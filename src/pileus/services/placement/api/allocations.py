"""Allocations: what consumers hold.  Rule: each format of the body, as versions changed it, ends as one Claim."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Name, at_most, since
from pileus.kernel.rest.references import SomeProject, SomeUser
from pileus.services.placement.api.router import (
    OPERATOR,
    UUID,
    ClassName,
    Generation,
    ProviderId,
    Uuid,
    Uuids,
    api,
    dashed,
)
from pileus.services.placement.app import claims, inventory
from pileus.services.placement.app.claims import Claim
from pileus.services.placement.model import MAX_INT, Provider
from pileus.services.placement.store import allocations
from pileus.services.placement.store.allocations import Held

LIST = Rule("placement:allocations:list", OPERATOR)
MANAGE = Rule("placement:allocations:manage", OPERATOR)
UPDATE = Rule("placement:allocations:update", OPERATOR)
DELETE = Rule("placement:allocations:delete", OPERATOR)
LIST_OF = Rule("placement:resource_providers:allocations:list", OPERATOR)

INCOMPLETE = "00000000-0000-0000-0000-000000000000"
"""Project and user of consumers made by clients older than 1.8."""
UNKNOWN = "unknown"
Amount = Annotated[int, msgspec.Meta(ge=1, le=MAX_INT)]
Amounts = Annotated[dict[ClassName, Amount], at_most(100, 1)]
OfProject = Annotated[SomeProject, msgspec.Meta(min_length=1)]
OfUser = Annotated[SomeUser, msgspec.Meta(min_length=1)]
ConsumerType = Annotated[str, msgspec.Meta(pattern="^([A-Z0-9_]+|unknown)$", min_length=1, max_length=255)]


class ProviderReference(Body):
    uuid: ProviderId


class OldAllocation(Body):
    resource_provider: ProviderReference
    resources: Amounts


class OldBody(Body):
    allocations: Annotated[list[OldAllocation], at_most(100, 1)]
    project_id: Annotated[OfProject | UnsetType, since("1.8")] = UNSET
    user_id: Annotated[OfUser | UnsetType, since("1.8")] = UNSET


class Resources(Body):
    resources: Amounts
    generation: Generation | None = None


class Allocations(Body):
    allocations: Annotated[dict[Uuid, Resources], at_most(100)]
    project_id: OfProject
    user_id: OfUser
    consumer_generation: Annotated[Generation | UnsetType | None, since("1.28")] = UNSET
    mappings: Annotated[Annotated[dict[Name, Uuids], at_most(100)] | None, since("1.34")] = None
    consumer_type: Annotated[ConsumerType | UnsetType, since("1.38")] = UNSET


def claim_of(tx: Tx, ctx: Context, consumer: str, body: Allocations) -> Claim:
    """Return what a body asks for; raise Conflict when the consumer has changed since the client looked."""
    if ctx.version >= (1, 28):
        _check_generation(tx, consumer, body.consumer_generation)
    if ctx.version >= (1, 38) and body.consumer_type is UNSET:
        raise Invalid("Invalid input for body: missing required field 'consumer_type'.")
    held = {dashed(uuid): dict(given.resources) for uuid, given in body.allocations.items()}
    kind = None if body.consumer_type is UNSET or body.consumer_type == UNKNOWN else body.consumer_type
    return Claim(consumer, held, body.project_id, body.user_id, kind, keeps_type=ctx.version < (1, 38))


def _check_generation(tx: Tx, consumer: str, given: int | UnsetType | None) -> None:
    if given is UNSET:
        raise Invalid("Invalid input for body: missing required field 'consumer_generation' (null for a new consumer).")
    row = allocations.get_consumer(tx, consumer)
    now = row.generation if row is not None else None
    if now != given:
        raise Conflict(
            f"consumer generation conflict - expected {now} but got {given}: read {consumer} again, then repeat.",
            kind=claims.CONCURRENT,
        )


def _known_classes(tx: Tx, *wanted: Claim) -> None:
    names = {name for claim in wanted for amounts in claim.held.values() for name in amounts}
    unknown = inventory.unknown_classes(tx, names)
    if unknown:
        raise Invalid(f"Allocation for unknown resource class: {', '.join(sorted(unknown))}.")


def _consumer(uuid: str) -> str:
    """Return the consumer of a path; raise Invalid for what is no UUID."""
    try:
        return dashed(msgspec.convert(uuid, Annotated[str, msgspec.Meta(pattern=UUID)]))
    except msgspec.ValidationError:
        raise Invalid(f"Invalid consumer: expected a UUID, got {uuid[:64]!r}.") from None


@api.get("/allocations/{consumer}", LIST)
def list_allocations(tx: Tx, ctx: Context, consumer: str) -> dict[str, Any]:
    consumer = dashed(consumer)
    held = allocations.held_by(tx, consumer)
    generations = allocations.generations(tx, list(held))
    view: dict[str, Any] = {
        "allocations": {uuid: {"generation": generations[uuid], "resources": amounts} for uuid, amounts in held.items()}
    }
    row = allocations.get_consumer(tx, consumer)
    if row is not None and ctx.version >= (1, 12):
        view |= {"project_id": row.project_id, "user_id": row.user_id}
    if row is not None and ctx.version >= (1, 28):
        view["consumer_generation"] = row.generation
    if row is not None and ctx.version >= (1, 38):
        view["consumer_type"] = row.type or UNKNOWN
    return view


@api.put("/allocations/{consumer}", UPDATE, until="1.11", body="")
def set_allocations_by_list(tx: Tx, ctx: Context, consumer: str, body: OldBody) -> None:
    if ctx.version >= (1, 8) and (body.project_id is UNSET or body.user_id is UNSET):
        raise Invalid("Invalid input for body: missing required field 'project_id' or 'user_id'.")
    held: Held = claims.merge(*({dashed(part.resource_provider.uuid): part.resources} for part in body.allocations))
    project = INCOMPLETE if body.project_id is UNSET else body.project_id
    user = INCOMPLETE if body.user_id is UNSET else body.user_id
    claim = Claim(_consumer(consumer), held, project, user, keeps_type=True)
    _known_classes(tx, claim)
    claims.replace(tx, claim)


@api.put("/allocations/{consumer}", UPDATE, since="1.12", body="")
def set_allocations(tx: Tx, ctx: Context, consumer: str, body: Allocations) -> None:
    if not body.allocations and ctx.version < (1, 28):
        raise Invalid("Invalid input for allocations: at least one resource provider is needed.")
    claim = claim_of(tx, ctx, _consumer(consumer), body)
    _known_classes(tx, claim)
    claims.replace(tx, claim)


def set_many(tx: Tx, ctx: Context, bodies: dict[str, Allocations]) -> None:
    """Set the allocations of several consumers, all or none."""
    wanted = [claim_of(tx, ctx, dashed(consumer), body) for consumer, body in bodies.items()]
    _known_classes(tx, *wanted)
    claims.replace(tx, *wanted)


@api.post("/allocations", MANAGE, since="1.13", body="", status=204)
def set_many_allocations(tx: Tx, ctx: Context, body: Annotated[dict[Uuid, Allocations], at_most(100)]) -> None:
    if not body:
        raise Invalid("Invalid input for body: at least one consumer is needed.")
    set_many(tx, ctx, body)


@api.delete("/allocations/{consumer}", DELETE)
def delete_allocations(tx: Tx, consumer: str) -> None:
    if not claims.release(tx, dashed(consumer)):
        raise NotFound(f"No allocations for consumer '{consumer}'.")


@api.get("/resource_providers/{provider}/allocations", LIST_OF)
def list_allocations_of(tx: Tx, ctx: Context, provider: Provider) -> dict[str, Any]:
    held = allocations.held_from(tx, provider.uuid)
    found: dict[str, Any] = {consumer: {"resources": amounts} for consumer, amounts in held.items()}
    if ctx.version >= (1, 28):
        rows = allocations.consumers_by_uuid(tx, held)
        for consumer, view in found.items():
            view["consumer_generation"] = rows[consumer].generation
    return {"allocations": found, "resource_provider_generation": provider.generation}
