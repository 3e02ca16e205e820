"""Identity providers and their protocols (OS-FEDERATION)."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Page, Request, at_most, changes
from pileus.kernel.rest.references import Refers
from pileus.services.identity.api.router import api, listing, url
from pileus.services.identity.api.rules import ADMIN, CLOUD, SYSTEM_READER
from pileus.services.identity.app.federation import providers
from pileus.services.identity.app.references import DomainId
from pileus.services.identity.model.federation import IdentityProvider, Protocol
from pileus.services.identity.store import federation

LIST = Rule("identity:list_identity_providers", SYSTEM_READER, scopes=CLOUD)
GET = Rule("identity:get_identity_provider", SYSTEM_READER, scopes=CLOUD)
CREATE = Rule("identity:create_identity_provider", ADMIN, scopes=CLOUD)
UPDATE = Rule("identity:update_identity_provider", ADMIN, scopes=CLOUD)
DELETE = Rule("identity:delete_identity_provider", ADMIN, scopes=CLOUD)
LIST_PROTOCOLS = Rule("identity:list_protocols", SYSTEM_READER, scopes=CLOUD)
GET_PROTOCOL = Rule("identity:get_protocol", SYSTEM_READER, scopes=CLOUD)
CREATE_PROTOCOL = Rule("identity:create_protocol", ADMIN, scopes=CLOUD)
UPDATE_PROTOCOL = Rule("identity:update_protocol", ADMIN, scopes=CLOUD)
DELETE_PROTOCOL = Rule("identity:delete_protocol", ADMIN, scopes=CLOUD)

BASE = "/OS-FEDERATION/identity_providers"
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
MappingId = Annotated[Id, Refers("mapping", loaded=False)]
RemoteIds = Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=255)]], at_most(100)]
Minutes = Annotated[int, msgspec.Meta(ge=0, le=10 * 365 * 1440)]


class ProviderCreate(Body):
    enabled: bool = False
    description: str | None = None
    authorization_ttl: Minutes | None = None
    remote_ids: RemoteIds | None = None
    domain_id: DomainId | None = None


class ProviderUpdate(Body):
    enabled: bool | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    authorization_ttl: Minutes | UnsetType | None = UNSET
    remote_ids: RemoteIds | UnsetType | None = UNSET


class ProtocolCreate(Body):
    mapping_id: MappingId
    remote_id_attribute: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class ProtocolUpdate(Body):
    mapping_id: MappingId | UnsetType = UNSET
    remote_id_attribute: Annotated[str, msgspec.Meta(max_length=64)] | UnsetType = UNSET


def check_id(id: str) -> str:
    """Return an id that a client chose for what it makes; raise Invalid when it is too long."""
    if not 1 <= len(id) <= 64:
        raise Invalid(f"The ID in the URL has {len(id)} characters: it may have 1 to 64.")
    return id


def _unique(remote_ids: list[str] | None) -> list[str]:
    if len(set(remote_ids or ())) != len(remote_ids or ()):
        raise Invalid("identity_provider.remote_ids must not name anything twice.")
    return remote_ids or []


def _view(ctx: Context, row: IdentityProvider, remote_ids: list[str]) -> dict[str, Any]:
    at = url(ctx, f"{BASE}/{row.id}")
    return {
        "id": row.id,
        "enabled": row.enabled,
        "description": row.description,
        "domain_id": row.domain_id,
        "authorization_ttl": row.authorization_ttl,
        "remote_ids": remote_ids,
        "links": {"self": at, "protocols": f"{at}/protocols"},
    }


def _shown(tx: Tx, ctx: Context, row: IdentityProvider) -> dict[str, Any]:
    return _view(ctx, row, federation.remote_ids_of(tx, [row.id]).get(row.id, []))


@api.get(BASE, LIST, wrap="identity_providers")
def list_providers(tx: Tx, ctx: Context, request: Request) -> Page:
    columns = {"id": IdentityProvider.id, "enabled": IdentityProvider.enabled}
    rows, marker = listing(tx, request, federation.select_providers(), IdentityProvider, columns)
    remote_ids = federation.remote_ids_of(tx, [row.id for row in rows])
    return Page([_view(ctx, row, remote_ids.get(row.id, [])) for row in rows], marker)


@api.get(f"{BASE}/{{provider}}", GET, wrap="identity_provider")
def show_provider(tx: Tx, ctx: Context, provider: str) -> dict[str, Any]:
    return _shown(tx, ctx, providers.require_provider(tx, provider))


@api.put(f"{BASE}/{{provider}}", CREATE, wrap="identity_provider", status=201)
def create_provider(tx: Tx, ctx: Context, provider: str, body: ProviderCreate) -> dict[str, Any]:
    row = providers.create_provider(
        tx,
        ctx,
        check_id(provider),
        domain_id=body.domain_id,
        remote_ids=_unique(body.remote_ids),
        enabled=body.enabled,
        description=body.description,
        authorization_ttl=body.authorization_ttl,
    )
    return _shown(tx, ctx, row)


@api.patch(f"{BASE}/{{provider}}", UPDATE, wrap="identity_provider")
def update_provider(tx: Tx, ctx: Context, provider: str, body: ProviderUpdate) -> dict[str, Any]:
    row = providers.require_provider(tx, provider)
    given = changes(body)
    if not given:
        raise Invalid(
            "identity_provider must have at least one of enabled, description, authorization_ttl, remote_ids."
        )
    _unique(given.get("remote_ids"))
    providers.update_provider(tx, ctx, row, given)
    return _shown(tx, ctx, row)


@api.delete(f"{BASE}/{{provider}}", DELETE)
def delete_provider(tx: Tx, ctx: Context, provider: str) -> None:
    providers.delete_provider(tx, ctx, providers.require_provider(tx, provider))


def _protocol_view(ctx: Context, row: Protocol) -> dict[str, Any]:
    provider = url(ctx, f"{BASE}/{row.provider_id}")
    view = {
        "id": row.id,
        "mapping_id": row.mapping_id,
        "links": {"self": f"{provider}/protocols/{row.id}", "identity_provider": provider},
    }
    if row.remote_id_attribute is not None:
        view["remote_id_attribute"] = row.remote_id_attribute
    return view


@api.get(f"{BASE}/{{provider}}/protocols", LIST_PROTOCOLS, wrap="protocols")
def list_protocols(tx: Tx, ctx: Context, request: Request, provider: str) -> Page:
    providers.require_provider(tx, provider)
    rows, marker = listing(tx, request, federation.select_protocols(provider), Protocol, {"id": Protocol.id})
    views = [
        {**_protocol_view(ctx, row), "idp_id": provider, "remote_id_attribute": row.remote_id_attribute} for row in rows
    ]
    return Page(views, marker)


@api.get(f"{BASE}/{{provider}}/protocols/{{protocol}}", GET_PROTOCOL, wrap="protocol")
def show_protocol(tx: Tx, ctx: Context, provider: str, protocol: str) -> dict[str, Any]:
    return _protocol_view(ctx, providers.require_protocol(tx, provider, protocol))


@api.put(f"{BASE}/{{provider}}/protocols/{{protocol}}", CREATE_PROTOCOL, wrap="protocol", status=201)
def create_protocol(tx: Tx, ctx: Context, provider: str, protocol: str, body: ProtocolCreate) -> dict[str, Any]:
    row = providers.create_protocol(
        tx, ctx, provider, check_id(protocol), body.mapping_id, body.remote_id_attribute or None
    )
    return _protocol_view(ctx, row)


@api.patch(f"{BASE}/{{provider}}/protocols/{{protocol}}", UPDATE_PROTOCOL, wrap="protocol")
def update_protocol(tx: Tx, ctx: Context, provider: str, protocol: str, body: ProtocolUpdate) -> dict[str, Any]:
    row = providers.require_protocol(tx, provider, protocol)
    given = changes(body)
    if not given:
        raise Invalid("protocol must have at least one of mapping_id and remote_id_attribute.")
    providers.update_protocol(tx, ctx, row, given)
    return _protocol_view(ctx, row)


@api.delete(f"{BASE}/{{provider}}/protocols/{{protocol}}", DELETE_PROTOCOL)
def delete_protocol(tx: Tx, ctx: Context, provider: str, protocol: str) -> None:
    providers.delete_protocol(tx, ctx, providers.require_protocol(tx, provider, protocol))
