"""Service providers: other clouds that let people of this one in (OS-FEDERATION)."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Page, Request, changes
from pileus.services.identity.api.identity_providers import check_id
from pileus.services.identity.api.router import api, listing, url
from pileus.services.identity.api.rules import ADMIN, CLOUD, SYSTEM_READER
from pileus.services.identity.app.federation import providers
from pileus.services.identity.model.federation import ServiceProvider
from pileus.services.identity.store import federation

LIST = Rule("identity:list_service_providers", SYSTEM_READER, scopes=CLOUD)
GET = Rule("identity:get_service_provider", SYSTEM_READER, scopes=CLOUD)
CREATE = Rule("identity:create_service_provider", ADMIN, scopes=CLOUD)
UPDATE = Rule("identity:update_service_provider", ADMIN, scopes=CLOUD)
DELETE = Rule("identity:delete_service_provider", ADMIN, scopes=CLOUD)

BASE = "/OS-FEDERATION/service_providers"
Url = Annotated[str, msgspec.Meta(max_length=225, pattern=r"^[a-zA-Z0-9+.-]+:.+")]
Prefix = Annotated[str, msgspec.Meta(max_length=256)]


class ServiceProviderCreate(Body):
    auth_url: Url
    sp_url: Url
    description: str | None = None
    enabled: bool = False
    relay_state_prefix: Prefix | UnsetType | None = UNSET


class ServiceProviderUpdate(Body):
    auth_url: Url | UnsetType = UNSET
    sp_url: Url | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    relay_state_prefix: Prefix | UnsetType | None = UNSET


def _view(ctx: Context, row: ServiceProvider) -> dict[str, Any]:
    return {
        "id": row.id,
        "auth_url": row.auth_url,
        "sp_url": row.sp_url,
        "description": row.description,
        "enabled": row.enabled,
        "relay_state_prefix": row.relay_state_prefix,
        "links": {"self": url(ctx, f"{BASE}/{row.id}")},
    }


@api.get(BASE, LIST, wrap="service_providers")
def list_service_providers(tx: Tx, ctx: Context, request: Request) -> Page:
    columns = {"id": ServiceProvider.id, "enabled": ServiceProvider.enabled}
    rows, marker = listing(tx, request, federation.select_service_providers(), ServiceProvider, columns)
    return Page([_view(ctx, row) for row in rows], marker)


@api.get(f"{BASE}/{{provider}}", GET, wrap="service_provider")
def show_service_provider(tx: Tx, ctx: Context, provider: str) -> dict[str, Any]:
    return _view(ctx, providers.require_service_provider(tx, provider))


@api.put(f"{BASE}/{{provider}}", CREATE, wrap="service_provider", status=201)
def create_service_provider(tx: Tx, ctx: Context, provider: str, body: ServiceProviderCreate) -> dict[str, Any]:
    given = {"relay_state_prefix": providers.RELAY_STATE_PREFIX, **changes(body)}
    return _view(ctx, providers.create_service_provider(tx, ctx, check_id(provider), **given))


@api.patch(f"{BASE}/{{provider}}", UPDATE, wrap="service_provider")
def update_service_provider(tx: Tx, ctx: Context, provider: str, body: ServiceProviderUpdate) -> dict[str, Any]:
    row = providers.require_service_provider(tx, provider)
    given = changes(body)
    if not given:
        raise Invalid("service_provider must have at least one attribute to change.")
    providers.update_service_provider(tx, ctx, row, given)
    return _view(ctx, row)


@api.delete(f"{BASE}/{{provider}}", DELETE)
def delete_service_provider(tx: Tx, ctx: Context, provider: str) -> None:
    providers.delete_service_provider(tx, ctx, providers.require_service_provider(tx, provider))
