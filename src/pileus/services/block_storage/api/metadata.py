"""The metadata of volumes and snapshots: one family of routes for each."""

from collections.abc import Callable

from pileus.kernel import clock, policy
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import OpenBody
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.volumes import Metadata
from pileus.services.block_storage.model import Snapshot, Volume

KEY_LENGTH = 255


class MetadataBody(OpenBody):
    """``{"metadata": {...}}``"""

    metadata: Metadata


class ItemBody(OpenBody):
    """``{"meta": {key: value}}``"""

    meta: Metadata


def _put(row: Volume | Snapshot, properties: dict[str, str]) -> dict[str, str]:
    row.properties = properties
    row.updated_at = clock.now()
    return properties


def _item(row: Volume | Snapshot, key: str) -> str:
    if key not in row.properties:
        raise NotFound(f"Metadata does not exist: {type(row).__name__.lower()} {row.id} has no key '{key}'.")
    return row.properties[key]


def _put_item(row: Volume | Snapshot, key: str, body: ItemBody) -> dict[str, str]:
    if list(body.meta) != [key]:
        raise Invalid(f"Invalid request body: 'meta' must hold the one key '{key}' of the URL.")
    if len(key) > KEY_LENGTH:
        raise Invalid(f"Metadata property key is longer than {KEY_LENGTH} characters.")
    _put(row, {**row.properties, **body.meta})
    return body.meta


def _drop(row: Volume | Snapshot, key: str) -> None:
    _item(row, key)
    _put(row, {name: value for name, value in row.properties.items() if name != key})


def _rules(kind: str) -> Callable[[str], Rule]:
    def rule(verb: str) -> Rule:
        check = policy.ADMIN_OR_READER if verb == "get" else policy.ADMIN_OR_MEMBER
        return Rule(f"volume:{verb}_{kind}_metadata", check)

    return rule


_volume, _snapshot = _rules("volume"), _rules("snapshot")


@api.get("/volumes/{volume}/metadata", _volume("get"), wrap="metadata")
def show_of_volume(volume: Volume) -> dict[str, str]:
    return volume.properties


@api.post("/volumes/{volume}/metadata", _volume("create"), wrap="metadata", status=200, body="")
def add_to_volume(volume: Volume, body: MetadataBody) -> dict[str, str]:
    return _put(volume, {**volume.properties, **body.metadata})


@api.put("/volumes/{volume}/metadata", _volume("update"), wrap="metadata", body="")
def replace_of_volume(volume: Volume, body: MetadataBody) -> dict[str, str]:
    return _put(volume, dict(body.metadata))


@api.get("/volumes/{volume}/metadata/{key}", _volume("get"), wrap="meta")
def show_item_of_volume(volume: Volume, key: str) -> dict[str, str]:
    return {key: _item(volume, key)}


@api.put("/volumes/{volume}/metadata/{key}", _volume("update"), wrap="meta", body="")
def put_item_of_volume(volume: Volume, key: str, body: ItemBody) -> dict[str, str]:
    return _put_item(volume, key, body)


@api.delete("/volumes/{volume}/metadata/{key}", _volume("delete"), status=200)
def drop_item_of_volume(volume: Volume, key: str) -> None:
    _drop(volume, key)


@api.get("/snapshots/{snapshot}/metadata", _snapshot("get"), wrap="metadata")
def show_of_snapshot(snapshot: Snapshot) -> dict[str, str]:
    return snapshot.properties


@api.post("/snapshots/{snapshot}/metadata", _snapshot("update"), wrap="metadata", status=200, body="")
def add_to_snapshot(snapshot: Snapshot, body: MetadataBody) -> dict[str, str]:
    return _put(snapshot, {**snapshot.properties, **body.metadata})


@api.put("/snapshots/{snapshot}/metadata", _snapshot("update"), wrap="metadata", body="")
def replace_of_snapshot(snapshot: Snapshot, body: MetadataBody) -> dict[str, str]:
    return _put(snapshot, dict(body.metadata))


@api.get("/snapshots/{snapshot}/metadata/{key}", _snapshot("get"), wrap="meta")
def show_item_of_snapshot(snapshot: Snapshot, key: str) -> dict[str, str]:
    return {key: _item(snapshot, key)}


@api.put("/snapshots/{snapshot}/metadata/{key}", _snapshot("update"), wrap="meta", body="")
def put_item_of_snapshot(snapshot: Snapshot, key: str, body: ItemBody) -> dict[str, str]:
    return _put_item(snapshot, key, body)


@api.delete("/snapshots/{snapshot}/metadata/{key}", _snapshot("delete"), status=200)
def drop_item_of_snapshot(snapshot: Snapshot, key: str) -> None:
    _drop(snapshot, key)
