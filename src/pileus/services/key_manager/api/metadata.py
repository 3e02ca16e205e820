"""What users write about a secret: ``/secrets/ID/metadata``, whole or a key at a time.

Rule: keys are lower case and fit into a URL.
"""

from typing import Annotated, Any

import msgspec

from pileus.dialects.barbican import url_of
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Response, json_response
from pileus.kernel.rest.bounds import Name, at_most
from pileus.kernel.rest.regular import text
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.rules import SECRET, SECRET_READ
from pileus.services.key_manager.api.secrets import secrets
from pileus.services.key_manager.model import Secret

GET, POST, PUT, DELETE = (
    Rule(f"secret_meta:{verb}", SECRET_READ if verb == "get" else SECRET) for verb in ("get", "post", "put", "delete")
)
Key = Annotated[str, text("^[A-Za-z0-9_-]+$", "letters, digits, '-' and '_'", 255)]
MOST = 256
"""Keys of a secret."""
PATH = f"{secrets.one}/metadata"


class WholeBody(msgspec.Struct):
    metadata: Annotated[dict[Key, Name], at_most(MOST)]


class PairBody(msgspec.Struct, forbid_unknown_fields=True):
    key: Key
    value: Name


def keep(tx: Tx, ctx: Context, row: Secret, metadata: dict[str, str]) -> None:
    if len(metadata) > MOST:
        raise Conflict(f"Secret {row.id} has {MOST} keys of metadata already: delete some.")
    row.user_metadata = metadata
    secrets.touch(tx, ctx, row)


def value_of(row: Secret, key: str) -> str:
    if key not in row.user_metadata:
        raise NotFound("Secret metadata not found.")
    return row.user_metadata[key]


@api.get(PATH, GET, about=secrets.about)
def show_metadata(row: Secret) -> dict[str, Any]:
    return {"metadata": row.user_metadata}


@api.put(PATH, PUT, body="", status=201, about=secrets.about)
def replace_metadata(tx: Tx, ctx: Context, row: Secret, body: WholeBody) -> dict[str, str]:
    keep(tx, ctx, row, {key.lower(): value for key, value in body.metadata.items()})
    return {"metadata_ref": url_of(ctx, "secrets", row.id, "metadata")}


@api.post(PATH, POST, body="", about=secrets.about)
def add_pair(tx: Tx, ctx: Context, row: Secret, body: PairBody) -> Response:
    key = body.key.lower()
    if key in row.user_metadata:
        raise Conflict("Conflict. Key in request is already in the secret metadata.")
    keep(tx, ctx, row, {**row.user_metadata, key: body.value})
    location = url_of(ctx, "secrets", row.id, "metadata", key)
    return json_response({"key": key, "value": body.value}, 201, [("Location", location)])


@api.get(f"{PATH}/{{key}}", GET, about=secrets.about)
def show_pair(row: Secret, key: str) -> dict[str, str]:
    return {"key": key, "value": value_of(row, key)}


@api.put(f"{PATH}/{{key}}", PUT, body="", about=secrets.about)
def change_pair(tx: Tx, ctx: Context, row: Secret, key: str, body: PairBody) -> dict[str, str]:
    value_of(row, key)
    if body.key.lower() != key:
        raise Conflict("Key in request data does not match key in the request url.")
    keep(tx, ctx, row, {**row.user_metadata, key: body.value})
    return {"key": key, "value": body.value}


@api.delete(f"{PATH}/{{key}}", DELETE, about=secrets.about)
def delete_pair(tx: Tx, ctx: Context, row: Secret, key: str) -> None:
    value_of(row, key)
    keep(tx, ctx, row, {name: value for name, value in row.user_metadata.items() if name != key})
