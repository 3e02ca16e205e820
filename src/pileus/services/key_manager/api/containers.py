"""Containers: named references to secrets; those of keys and certificates have names of their own."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from pileus.dialects.barbican import Entity, url_of
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Response, json_response
from pileus.kernel.rest.bounds import Name, at_most
from pileus.kernel.rest.references import Refers
from pileus.kernel.rest.regular import LIST, SHOW, Attr, Resource
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.rules import CONTAINER, CONTAINER_CHECKS, target_of
from pileus.services.key_manager.api.secrets import secrets
from pileus.services.key_manager.model import Container, ContainerConsumer, ContainerSecret
from pileus.services.key_manager.store import things

NAMES = {
    "rsa": ({"public_key", "private_key"}, {"private_key_passphrase"}),
    "certificate": ({"certificate"}, {"private_key", "private_key_passphrase", "intermediates"}),
}
"""The names that a container of a type must have, and those that it may have."""
SecretRef = Annotated[str, at_most(2048, 1), Refers("secret", loaded=False)]
ADD = Rule("container_secret:post", CONTAINER)
REMOVE = Rule("container_secret:delete", CONTAINER)


class Reference(msgspec.Struct):
    secret_ref: SecretRef
    name: Name | None = None


class ContainerAttributes(Entity, kw_only=True):
    name: Name | None = None
    type: Annotated[Literal["generic", "rsa", "certificate"], Attr(on="cv")]
    creator_id: Annotated[str, Attr(on="v", find="")] = ""
    secret_refs: Annotated[list[Reference], at_most(100), Attr(on="cv", find="", source="")] = []
    consumers: Annotated[list[dict[str, str]], Attr(on="v", find="", source="")] = []


containers = Resource(
    api, "container", "containers", ContainerAttributes, Container, title="Secrets container", verbs=(LIST, SHOW),
    checks=CONTAINER_CHECKS,
)  # fmt: skip
containers.target(target_of)


@containers.related
def related(tx: Tx, ctx: Context, rows: Sequence[Container], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    held = things.references(tx, [row.id for row in rows])
    users = things.consumers_of(tx, ContainerConsumer, rows)
    return {
        "secret_refs": {
            id: [{"secret_ref": url_of(ctx, "secrets", one.secret_id), "name": one.name or None} for one in every]
            for id, every in held.items()
        },
        "consumers": {id: [{"name": one.name, "URL": one.url} for one in every] for id, every in users.items()},
    }


@containers.create
def create_container(tx: Tx, ctx: Context, body: Any) -> Container:
    names = [reference.name or "" for reference in body.secret_refs]
    ids = [secret_of(tx, ctx, reference) for reference in body.secret_refs]
    if len(set(names)) < len(names):
        raise Invalid("Duplicate reference names are not allowed.")
    if len(set(ids)) < len(ids):
        raise Invalid("Duplicate secret ids are not allowed.")
    if body.type in NAMES and names:
        _check_names(body.type, set(names))
    things.claim(tx, ctx.project_id, "containers")
    row = Container(**containers.dialect.values(containers, ctx, body), creator_id=ctx.user_id)
    tx.add(row)
    tx.flush()
    for name, id in zip(names, ids, strict=True):
        tx.add(ContainerSecret(container_id=row.id, secret_id=id, name=name))
    return row


def _check_names(type: str, names: set[str]) -> None:
    required, optional = NAMES[type]
    if not names <= required | optional:
        allowed = ", ".join(sorted(required | optional))
        raise Invalid(f"Only {allowed} are allowed as reference names of a container of type {type}.")
    if not required <= names:
        raise Invalid(f"The minimum required reference names of type {type} are {', '.join(sorted(required))}.")


def secret_of(tx: Tx, ctx: Context, reference: Reference) -> str:
    """Return the id of the project's own secret that a reference names; raise Invalid or NotFound."""
    where, _, id = reference.secret_ref.strip().rstrip("/").rpartition("/")
    if where and where != url_of(ctx, "secrets"):
        raise Invalid("Secret_ref does not match the configured hostname, please try again.")
    row = secrets.load(tx, ctx, id)
    if row.project_id != ctx.project_id:
        raise secrets.dialect.not_found(secrets, id)
    return row.id


@containers.delete
def delete_container(tx: Tx, ctx: Context, row: Container) -> None:
    things.delete_container(tx, row)


@api.post(f"{containers.one}/secrets", ADD, body="", about=containers.about)
def add_secret(tx: Tx, ctx: Context, row: Container, body: Reference) -> Response:
    if row.type != "generic":
        raise Invalid("Only 'generic' containers can be modified.")
    id = secret_of(tx, ctx, body)
    if tx.get(ContainerSecret, (row.id, id, body.name or "")) is not None:
        raise Conflict(
            "Conflict. A secret with that name and ID is already stored in this container. The same secret can exist "
            "in a container as long as the name is unique."
        )
    tx.add(ContainerSecret(container_id=row.id, secret_id=id, name=body.name or ""))
    containers.touch(tx, ctx, row)
    reference = url_of(ctx, "containers", row.id)
    return json_response({"container_ref": reference}, 201, [("Location", reference)])


@api.delete(f"{containers.one}/secrets", REMOVE, body="", about=containers.about)
def remove_secret(tx: Tx, ctx: Context, row: Container, body: Reference) -> None:
    if row.type != "generic":
        raise Invalid("Only 'generic' containers can be modified.")
    held = tx.get(ContainerSecret, (row.id, secret_of(tx, ctx, body), body.name or ""))
    if held is None:
        raise NotFound("Secret provided is not in the container.")
    tx.delete(held)
    containers.touch(tx, ctx, row)
