"""JSON patches on images, in both media types.

The one rule: the whole patch is applied to a copy and checked as an image; then it is written, or nothing is.
Operations: https://docs.openstack.org/glance/latest/contributor/architecture.html and RFC 6902, RFC 6901.
"""

from typing import Any

from pileus.kernel import clock, events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict, Forbidden, Invalid
from pileus.services.image import store
from pileus.services.image.app import images
from pileus.services.image.model import QUEUED, ImageRow

V2_0 = "application/openstack-images-v2.0-json-patch"
V2_1 = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPES = (V2_1, V2_0)
_VERBS = ("add", "replace", "remove")


def check_media_type(content_type: str) -> bool:
    """Tell whether a patch is of the newer type.  Raises ApiError 415 for any other type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        raise ApiError(
            f"The Content-Type of a patch is {V2_1}, not '{kind}'.",
            status=415,
            headers={"Accept-Patch": ", ".join(MEDIA_TYPES)},
        )
    return kind == V2_1


def read_change(change: Any, *, newer: bool) -> tuple[str, str, Any]:
    """Return verb, attribute and value of one operation.  Raises Invalid."""
    if not isinstance(change, dict):
        raise Invalid("A patch is a list of objects, each with one operation.")
    if newer:
        verb, pointer = change.get("op"), change.get("path")
    else:
        found = [name for name in _VERBS if name in change]
        if len(found) != 1:
            raise Invalid(f"Operation objects must contain exactly one member named {', '.join(_VERBS)}.")
        verb, pointer = found[0], change[found[0]]
    if verb not in _VERBS:
        raise Invalid(f"Operations must be add, replace or remove, not '{verb}'.")
    if verb != "remove" and "value" not in change:
        raise Invalid(f"Operation '{verb}' requires a member named 'value'.")
    return verb, _attribute(pointer), change.get("value")


def _attribute(pointer: Any) -> str:
    if not isinstance(pointer, str) or not pointer.startswith("/") or pointer.endswith("/"):
        raise Invalid(f"Pointer '{pointer}' must start and may not end with '/'.")
    segments = [segment.replace("~1", "/").replace("~0", "~") for segment in pointer[1:].split("/")]
    if segments[0] == "locations":
        raise Forbidden("Locations of images are not managed through this API.")
    if len(segments) > 1:
        raise Invalid(f"Invalid JSON pointer for this resource: '{pointer}' is too deep.")
    return segments[0]


def update_image(tx: Tx, ctx: Context, row: ImageRow, changes: Any, *, newer: bool) -> None:
    """Apply a patch.  Raises Invalid, Forbidden, Conflict."""
    if not isinstance(changes, list):
        raise Invalid("Request body must be a JSON array of operation objects.")
    extras = store.extras_of(tx, [row.id])[row.id]
    values: dict[str, Any] = {name: getattr(row, name) for name in images.SETTABLE if name != "tags"}
    kept = {name: value for name, value in extras.properties.items() if name.startswith(images.SERVICE_PREFIX)}
    properties: dict[str, Any] = {name: value for name, value in extras.properties.items() if name not in kept}
    values["tags"] = list(extras.tags)
    for change in changes:
        verb, name, value = read_change(change, newer=newer)
        _apply(row, values, properties, verb, name, value)
    base = images.read_attributes(values)
    properties = {**images.read_properties(properties), **kept}
    if base.visibility != row.visibility:
        images.check_visibility(ctx, base.visibility, row)
    if base.owner != row.project_id and not ctx.is_admin:
        raise Forbidden("Owner can't be updated by non admin.")
    if not base.owner and row.project_id is not None:
        raise Invalid("An image needs an owner: name a project.")
    row.project_id = base.owner
    for name in images.SETTABLE:
        if name not in ("owner", "tags") and getattr(row, name) != getattr(base, name):
            setattr(row, name, getattr(base, name))
    if properties != extras.properties:
        store.set_properties(tx, row.id, properties)
    if base.tags != extras.tags:
        store.set_tags(tx, row.id, base.tags)
    row.updated_at = clock.now()
    events.emit(tx, "image.image.updated", row.id, ctx=ctx, project_id=row.project_id)


def _apply(row: ImageRow, values: dict[str, Any], properties: dict[str, Any], verb: str, name: str, value: Any) -> None:
    images.check_settable(name)
    if name in values:
        if verb == "remove":
            raise Forbidden(f"Property {name} may not be removed.")
        if name in ("container_format", "disk_format") and row.status != QUEUED and value != values[name]:
            raise Forbidden(f"Attribute {name} can be replaced only for a queued image.")
        values[name] = value
        return
    if verb in ("replace", "remove") and name not in properties:
        raise Conflict(f"Property {name} does not exist on image {row.id}; add it instead.")
    if verb == "remove":
        del properties[name]
    else:
        properties[name] = value
