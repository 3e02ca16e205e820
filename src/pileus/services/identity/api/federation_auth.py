"""Logging in with what an identity provider gave, and what the token then reaches (OS-FEDERATION)."""

from pileus.kernel.context import Context
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.policy import ANYONE, Rule
from pileus.kernel.rest import Page, Request, Response, json_response
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api import auth
from pileus.services.identity.api.router import api
from pileus.services.identity.app.federation.arrival import arrive, enabled_provider
from pileus.services.identity.app.federation.openid import OpenIds, assertion_of
from pileus.services.identity.app.federation.providers import require_protocol

PROJECTS = Rule("identity:get_auth_projects", ANYONE)
DOMAINS = Rule("identity:get_auth_domains", ANYONE)
PROTOCOL = "/OS-FEDERATION/identity_providers/{provider}/protocols/{protocol}"


def open_for(tx: Tx, provider_id: str, protocol_id: str) -> None:
    """Raise unless people may come from a provider by a protocol."""
    enabled_provider(tx, provider_id)
    require_protocol(tx, provider_id, protocol_id)


@api.get(f"{PROTOCOL}/auth", None)
@api.post(f"{PROTOCOL}/auth", None)
async def log_in(
    ctx: Context, request: Request, runtime: Runtime, db: Database, provider: str, protocol: str
) -> Response:
    await db.read(open_for, provider, protocol)
    openid = runtime.part(OpenIds).require(provider, protocol)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            f"Send an access token of {openid.settings.issuer} in the header Authorization: Bearer.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    claims = await openid.claims_of_access_token(token.strip())
    text, document = await arrive(runtime, ctx, provider, protocol, openid.settings.issuer, assertion_of(claims))
    return json_response({"token": document}, 201, [("X-Subject-Token", text), ("Vary", "X-Auth-Token")])


@api.get("/OS-FEDERATION/projects", PROJECTS, wrap="projects")
def list_projects(tx: Tx, ctx: Context) -> Page:
    return auth.list_projects(tx, ctx)


@api.get("/OS-FEDERATION/domains", DOMAINS, wrap="domains")
def list_domains(tx: Tx, ctx: Context) -> Page:
    return auth.list_domains(tx, ctx)
