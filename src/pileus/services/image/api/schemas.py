"""JSON schemas of the documents that this API sends and takes.

The one rule: they are made from what the code checks, so that they cannot disagree with it.
"""

from typing import Any

from pileus.kernel.errors import NotFound
from pileus.services.image.api.answers import api
from pileus.services.image.app import visibility as rules
from pileus.services.image.app.images import NULLABLE, READ_ONLY
from pileus.services.image.model import (
    CONTAINER_FORMATS,
    DISK_FORMATS,
    HASH_ALGORITHM,
    MEMBER_STATUSES,
    STATUSES,
    VISIBILITIES,
)

UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


def _text(description: str, *, null: bool = False, **more: Any) -> dict[str, Any]:
    return {"type": ["null", "string"] if null else "string", "description": description, **more}


def _number(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "description": description, **more}


def _choice(description: str, values: tuple[str, ...], *, null: bool = False) -> dict[str, Any]:
    return _text(description, null=null, enum=[None, *values] if null else list(values))


_IMAGE: dict[str, dict[str, Any]] = {
    "id": _text("The image's id", pattern=UUID),
    "name": _text("The image's name", null=True, maxLength=255),
    "status": _choice("The image's state", STATUSES),
    "visibility": _choice("Who sees the image", VISIBILITIES),
    "protected": {"type": "boolean", "description": "Whether the image cannot be deleted"},
    "os_hidden": {"type": "boolean", "description": "Whether the image is left out of default listings"},
    "owner": _text("The project that the image belongs to", null=True, maxLength=255),
    "container_format": _choice("What the bytes are wrapped in", CONTAINER_FORMATS, null=True),
    "disk_format": _choice("How the disk is stored in the bytes", DISK_FORMATS, null=True),
    "min_disk": _number("GiB of disk that a server needs", minimum=0),
    "min_ram": _number("MiB of memory that a server needs", minimum=0),
    "size": {"type": ["null", "integer"], "description": "Bytes of the image"},
    "virtual_size": {"type": ["null", "integer"], "description": "Bytes of the disk that a guest sees"},
    "checksum": _text("The MD5 of the bytes", null=True, maxLength=32),
    "os_hash_algo": _text(f"How os_hash_value was made: {HASH_ALGORITHM}", null=True, maxLength=64),
    "os_hash_value": _text("The digest of the bytes, in hexadecimal", null=True, maxLength=128),
    "created_at": _text("When the image was created"),
    "updated_at": _text("When the image was changed last"),
    "tags": {
        "type": "array",
        "description": "Words that the image is marked with",
        "items": {"type": "string", "maxLength": 255},
    },
    "direct_url": _text("Where the bytes are kept"),
    "stores": _text("The stores that hold the bytes"),
    "self": _text("The path of the image"),
    "file": _text("The path of the image's bytes"),
    "schema": _text("The path of this schema"),
    "locations": {"type": "array", "description": "Where the bytes are kept", "items": {"type": "object"}},
    "kernel_id": _text("The image of the kernel to boot with", null=True, pattern=UUID, is_base=False),
    "ramdisk_id": _text("The image of the first file system to boot with", null=True, pattern=UUID, is_base=False),
    "architecture": _text("The processors that the image runs on", is_base=False),
    "os_distro": _text("The distribution in the image", is_base=False),
    "os_version": _text("The release of the operating system in the image", is_base=False),
    "instance_uuid": _text("The server that the image was made of", is_base=False),
}
for _name in READ_ONLY & _IMAGE.keys():
    _IMAGE[_name]["readOnly"] = True
assert _IMAGE.keys() >= NULLABLE

_MEMBER = {
    "image_id": _text("The image that is shared", pattern=UUID),
    "member_id": _text("The project that it is shared with"),
    "status": _choice("What the member says to it", MEMBER_STATUSES),
    "created_at": _text("When it was shared"),
    "updated_at": _text("When the status changed last"),
    "schema": _text("The path of this schema"),
}
_TASK = {name: _text(name.replace("_", " ")) for name in ("id", "type", "status", "owner", "message", "self")}


def _collection(plural: str, item: dict[str, Any]) -> dict[str, Any]:
    links = [{"rel": rel, "href": f"{{{rel}}}"} for rel in ("first", "next")]
    return {
        "name": plural,
        "properties": {
            plural: {"type": "array", "items": item},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [*links, {"rel": "describedby", "href": "{schema}"}],
    }


_IMAGE_LINKS = [
    {"rel": "self", "href": "{self}"},
    {"rel": "enclosure", "href": "{file}"},
    {"rel": "describedby", "href": "{schema}"},
]
IMAGE = {"name": "image", "properties": _IMAGE, "additionalProperties": {"type": "string"}, "links": _IMAGE_LINKS}
MEMBER = {"name": "member", "properties": _MEMBER}
TASK = {"name": "task", "properties": _TASK}
SCHEMAS = {
    "image": IMAGE,
    "images": _collection("images", IMAGE),
    "member": MEMBER,
    "members": _collection("members", MEMBER),
    "task": TASK,
    "tasks": _collection("tasks", TASK),
}


@api.get("/schemas/{name}", rules.LIST)
def show_schema(name: str) -> dict[str, Any]:
    if name not in SCHEMAS:
        raise NotFound(f"There is no schema '{name}'; there are {', '.join(SCHEMAS)}.")
    return SCHEMAS[name]
