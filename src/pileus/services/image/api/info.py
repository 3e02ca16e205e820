"""What this image service can do: import methods, stores, the caller's quota."""

from typing import Any

from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.services.image.api.answers import api
from pileus.services.image.app import visibility as rules
from pileus.services.image.app.images import limits
from pileus.services.image.app.imports import METHODS
from pileus.services.image.model import STORE, ImageSettings


@api.get("/info/import", rules.LIST)
def show_import() -> dict[str, Any]:
    return {
        "import-methods": {"description": "Import methods available.", "type": "array", "value": list(METHODS)},
    }


@api.get("/info/stores", rules.LIST)
def list_stores() -> dict[str, Any]:
    return {"stores": [{"id": STORE, "description": "The cloud's object storage", "default": "true"}]}


@api.get("/info/stores/detail", rules.STORES)
def list_stores_detail() -> dict[str, Any]:
    details = {"type": "swift", "weight": 0, "properties": {}}
    return {"stores": [{"id": STORE, "description": "The cloud's object storage", "default": "true", **details}]}


@api.get("/info/usage", rules.USAGE)
def show_usage(tx: Tx, ctx: Context, settings: ImageSettings) -> dict[str, Any]:
    named = limits(settings)
    ceilings, used = quota.limits_of(tx, ctx.project_id, named), quota.usage(tx, ctx.project_id, named)
    return {"usage": {name: {"limit": ceilings[name], "usage": used[name]} for name in named}}
