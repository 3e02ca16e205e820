"""Resource classes: the kinds of things that are counted."""

from typing import Any

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Response
from pileus.services.placement.api.router import OPERATOR, CustomName, api, created, links
from pileus.services.placement.app.inventory import CUSTOM
from pileus.services.placement.model import STANDARD_CLASSES, CustomClass
from pileus.services.placement.store import providers

LIST = Rule("placement:resource_classes:list", OPERATOR)
CREATE = Rule("placement:resource_classes:create", OPERATOR)
SHOW = Rule("placement:resource_classes:show", OPERATOR)
UPDATE = Rule("placement:resource_classes:update", OPERATOR)
DELETE = Rule("placement:resource_classes:delete", OPERATOR)


class ClassBody(Body):
    name: CustomName


def _view(name: str) -> dict[str, Any]:
    return {"name": name, "links": links(f"/resource_classes/{name}")}


@api.get("/resource_classes", LIST, since="1.2", wrap="resource_classes")
def list_classes(tx: Tx) -> list[dict[str, Any]]:
    return [_view(name) for name in (*STANDARD_CLASSES, *sorted(providers.custom_classes(tx)))]


@api.post("/resource_classes", CREATE, since="1.2", body="")
def create_class(tx: Tx, ctx: Context, body: ClassBody) -> Response:
    if providers.custom_classes(tx, [body.name]):
        raise Conflict(f"Conflicting resource class already exists: {body.name}.", kind="placement.duplicate_name")
    tx.add(CustomClass(name=body.name, updated_at=clock.now()))
    return created(ctx, f"/resource_classes/{body.name}")


def _existing(tx: Tx, name: str) -> str:
    if name not in STANDARD_CLASSES and not providers.custom_classes(tx, [name]):
        raise NotFound(f"No such resource class {name}.")
    return name


@api.get("/resource_classes/{resource_class}", SHOW, since="1.2")
def show_class(tx: Tx, resource_class: str) -> dict[str, Any]:
    return _view(_existing(tx, resource_class))


def _own(tx: Tx, name: str, verb: str) -> CustomClass:
    if name in STANDARD_CLASSES:
        raise Invalid(f"Cannot {verb} standard resource class {name}.")
    row = tx.get(CustomClass, _existing(tx, name))
    assert row is not None
    return row


@api.put("/resource_classes/{resource_class}", UPDATE, since="1.2", until="1.6", body="")
def rename_class(tx: Tx, resource_class: str, body: ClassBody) -> dict[str, Any]:
    row = _own(tx, resource_class, "update")
    if body.name != row.name and providers.custom_classes(tx, [body.name]):
        raise Conflict(f"Resource class already exists: {body.name}.", kind="placement.duplicate_name")
    if providers.class_in_use(tx, row.name):
        raise Conflict(f"Cannot rename resource class {row.name}: it is in use in inventory.")
    row.name = body.name
    return _view(body.name)


@api.put("/resource_classes/{resource_class}", UPDATE, since="1.7")
def ensure_class(tx: Tx, ctx: Context, resource_class: str) -> Response:
    if not CUSTOM.match(resource_class) or len(resource_class) > 255:
        raise Invalid(f"{resource_class[:255]} is no name for a class: it begins with CUSTOM_, in capitals and digits.")
    if providers.custom_classes(tx, [resource_class]):
        return Response(204, media_type=None)
    tx.add(CustomClass(name=resource_class, updated_at=clock.now()))
    return created(ctx, f"/resource_classes/{resource_class}")


@api.delete("/resource_classes/{resource_class}", DELETE, since="1.2")
def delete_class(tx: Tx, resource_class: str) -> None:
    row = _own(tx, resource_class, "delete")
    if providers.class_in_use(tx, row.name):
        raise Conflict(f"Cannot delete resource class {row.name}: Class is in use in inventory.")
    tx.delete(row)
