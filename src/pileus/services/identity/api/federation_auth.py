"""Logging in with what an identity provider gave, and what the token then reaches (OS-FEDERATION)."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import ApiError, Unauthenticated
from pileus.kernel.policy import ANYONE, Rule
from pileus.kernel.rest import Page, Request, Response, json_response
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api import auth
from pileus.services.identity.api.router import api
from pileus.services.identity.api.rules import EVERY
from pileus.services.identity.app import sign_ins
from pileus.services.identity.app.federation.arrival import arrive, enabled_provider
from pileus.services.identity.app.federation.openid import OpenIds
from pileus.services.identity.app.federation.openid import assertion_of as openid_names
from pileus.services.identity.app.federation.providers import require_protocol
from pileus.services.identity.app.federation.saml import COOKIE, Presented, Samls
from pileus.services.identity.app.federation.saml import assertion_of as saml_names
from pileus.services.identity.app.federation.sealed import opened
from pileus.services.identity.drivers.saml import ECP_TYPE, LEEWAY_S, Assertion
from pileus.services.identity.model.federation import SamlProvider

PROJECTS = Rule("identity:get_auth_projects", ANYONE, scopes=EVERY)
DOMAINS = Rule("identity:get_auth_domains", ANYONE, scopes=EVERY)
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
    settings = runtime.part(Samls).find(provider, protocol)
    async with noted(runtime, ctx, request) as arrived:
        if settings is not None:
            text, document = await _by_assertion(runtime, ctx, request, settings, provider, protocol)
        else:
            text, document = await _by_access_token(runtime, ctx, request, provider, protocol)
        arrived.append(document["user"]["id"])
    return json_response({"token": document}, 201, [("X-Subject-Token", text), ("Vary", "X-Auth-Token")])


@asynccontextmanager
async def noted(runtime: Runtime, ctx: Context, request: Request) -> AsyncIterator[list[str]]:
    """Let the audit know of a log-in: who came is put into the list that is yielded."""
    arrived: list[str] = []
    note = partial(sign_ins.note, runtime, ctx, request, {"methods": ["mapped"]})
    try:
        yield arrived
    except ApiError as error:
        note(user_id=None, error=error)
        raise
    note(user_id=arrived[0], error=None)


async def _by_access_token(
    runtime: Runtime, ctx: Context, request: Request, provider: str, protocol: str
) -> tuple[str, dict[str, Any]]:
    openid = runtime.part(OpenIds).require(provider, protocol)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            f"Send an access token of {openid.settings.issuer} in the header Authorization: Bearer.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    claims = await openid.claims_of_access_token(token.strip())
    return await arrive(runtime, ctx, provider, protocol, openid.settings.issuer, openid_names(claims))


async def _by_assertion(
    runtime: Runtime, ctx: Context, request: Request, settings: SamlProvider, provider: str, protocol: str
) -> tuple[str, dict[str, Any]]:
    """Take an assertion as the enhanced client (ECP) or as a form brings it."""
    presented = opened(runtime, request, COOKIE, Presented) if request.method == "GET" else None
    if presented is not None and (presented.provider, presented.protocol) == (provider, protocol):
        return await _arrive_once(runtime, ctx, provider, protocol, presented.assertion)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.read()
    try:
        message = body.decode()
        if media_type == "application/x-www-form-urlencoded":
            message = base64.b64decode(parse_qs(message).get("SAMLResponse", [""])[0]).decode()
    except ValueError:
        message = ""
    if not message:
        raise Unauthenticated(f"Send the provider's SAML response: as {ECP_TYPE}, or in the form field SAMLResponse.")
    consumer_url = f"{ctx.base_url}{request.path}"
    checked = await runtime.part(Samls).check(
        ctx.base_url, settings, consumer_url, message, enveloped=media_type != "application/x-www-form-urlencoded"
    )
    return await _arrive_once(runtime, ctx, provider, protocol, checked)


async def _arrive_once(
    runtime: Runtime, ctx: Context, provider: str, protocol: str, checked: Assertion
) -> tuple[str, dict[str, Any]]:
    if checked.until + LEEWAY_S < clock.now().timestamp():
        raise Unauthenticated("The SAML assertion was refused: it has ended.")
    once = checked.id, datetime.fromtimestamp(checked.until, UTC) + timedelta(seconds=2 * LEEWAY_S)
    return await arrive(runtime, ctx, provider, protocol, checked.issuer, saml_names(checked), once=once)


@api.get("/OS-FEDERATION/projects", PROJECTS, wrap="projects")
def list_projects(tx: Tx, ctx: Context) -> Page:
    return auth.list_projects(tx, ctx)


@api.get("/OS-FEDERATION/domains", DOMAINS, wrap="domains")
def list_domains(tx: Tx, ctx: Context) -> Page:
    return auth.list_domains(tx, ctx)
