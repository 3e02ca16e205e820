"""Single sign-on of dashboards: a browser comes, is sent to an OpenID provider, comes back, and carries a token away.

Rule: what binds the way back to the way out (state, nonce, the code's verifier) is in a sealed cookie of that browser,
so that any node can take it up and nobody can send somebody else's log-in; tokens go to trusted dashboards only.
"""

import base64
import hashlib
import html
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.context import Context
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.federation.arrival import arrive
from pileus.services.identity.app.federation.openid import OpenIds, assertion_of
from pileus.services.identity.app.federation.sealed import opened, seal
from pileus.services.identity.drivers.openid import new_verifier
from pileus.services.identity.model.federation import FederationSettings

COOKIE = "pileus-sign-on"
CALLBACK = "/identity/v3/auth/OS-FEDERATION/openid/callback"
PATIENCE_S = 600
_SUBMIT = "document.forms[0].submit()"
_SUBMIT_HASH = base64.b64encode(hashlib.sha256(_SUBMIT.encode()).digest()).decode()


class _Journey(msgspec.Struct):
    """What the cookie holds."""

    provider: str
    protocol: str
    origin: str
    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    until: float


def own_dashboard(ctx: Context) -> str:
    """Return where this cloud's own dashboard takes tokens."""
    return f"{ctx.base_url}/dashboard/auth/websso/"


def _normal(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path, parts.query, ""))


def trusted_origin(runtime: Runtime, ctx: Context, request: Request) -> str:
    """Return the dashboard that asks; raise Unauthenticated when tokens may not be handed to it."""
    origin = next((value for name, value in request.query_items() if name == "origin"), "")
    if not origin:
        raise Invalid("Request must have an origin query parameter: the dashboard that the token is for.")
    trusted = {*runtime.config.get(FederationSettings).trusted_dashboards, own_dashboard(ctx)}
    if _normal(origin) not in {_normal(one) for one in trusted}:
        raise Unauthenticated(
            f"{origin} is not a trusted dashboard host. An administrator can add it to trusted_dashboards in the table "
            "[identity] of pileus.toml."
        )
    return origin


async def set_out(runtime: Runtime, ctx: Context, provider: str, protocol: str, origin: str) -> Response:
    """Return the answer that sends the browser to the provider."""
    journey = _Journey(
        provider=provider,
        protocol=protocol,
        origin=origin,
        redirect_uri=f"{ctx.base_url}{CALLBACK}",
        state=ids.new_secret(24),
        nonce=ids.new_secret(24),
        verifier=new_verifier(),
        until=clock.now().timestamp() + PATIENCE_S,
    )
    openid = runtime.part(OpenIds).require(provider, protocol)
    location = await openid.authorization_url(
        redirect_uri=journey.redirect_uri, state=journey.state, nonce=journey.nonce, verifier=journey.verifier
    )
    sealed = seal(runtime, journey)
    headers = [("Location", location), ("Set-Cookie", _cookie(ctx, sealed, PATIENCE_S)), ("Cache-Control", "no-store")]
    return Response(302, b"", headers, media_type=None)


def _cookie(ctx: Context, value: str, life_s: int) -> str:
    secure = "; Secure" if ctx.base_url.startswith("https:") else ""
    return f"{COOKIE}={value}; Path={CALLBACK}; Max-Age={life_s}; HttpOnly; SameSite=Lax{secure}"


async def come_back(runtime: Runtime, ctx: Context, request: Request) -> tuple[str, Response]:
    """Return who came and the page that carries the token to the dashboard; raise Unauthenticated."""
    given = dict(request.query_items())
    journey = _journey(runtime, request)
    if journey is None or given.get("state") != journey.state:
        raise Unauthenticated("This log-in was not begun in this browser, or too long ago. Begin it again.")
    openid = runtime.part(OpenIds).require(journey.provider, journey.protocol)
    if "error" in given or "code" not in given:
        raise Unauthenticated(f"{openid.settings.issuer} let nobody in: {given.get('error', 'no code')[:200]}.")
    if given.get("iss", openid.settings.issuer) != openid.settings.issuer:
        raise Unauthenticated("The answer came from another provider than the question went to. Begin again.")
    claims = await openid.claims_of_code(
        given["code"], redirect_uri=journey.redirect_uri, nonce=journey.nonce, verifier=journey.verifier
    )
    text, document = await arrive(
        runtime, ctx, journey.provider, journey.protocol, openid.settings.issuer, assertion_of(claims)
    )
    return document["user"]["id"], _page(ctx, journey.origin, text)


def _journey(runtime: Runtime, request: Request) -> _Journey | None:
    journey = opened(runtime, request, COOKIE, _Journey)
    return journey if journey is not None and clock.now().timestamp() < journey.until else None


def _page(ctx: Context, origin: str, token: str) -> Response:
    """Return a form that posts itself, as dashboards expect it."""
    body = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Signing in</title></head><body>'
        f'<form id="sso" method="post" action="{html.escape(origin)}">'
        f'<input type="hidden" name="token" value="{html.escape(token)}">'
        '<noscript><button type="submit">Continue to the dashboard</button></noscript></form>'
        f"<script>{_SUBMIT}</script></body></html>"
    )
    parts = urlsplit(origin)
    policy = (
        f"default-src 'none'; script-src 'sha256-{_SUBMIT_HASH}'; form-action {parts.scheme}://{parts.netloc}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = [
        ("Content-Security-Policy", policy),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("Set-Cookie", _cookie(ctx, "", 0)),
    ]
    return Response(200, body.encode(), headers, media_type="text/html; charset=utf-8")


def chooser(request: Request, protocol: str, choices: list[str]) -> Response:
    """Return a page that lets the browser's user say which provider knows them."""
    query = html.escape(request.query_string.decode("latin-1"))
    base = "/identity/v3/auth/OS-FEDERATION/identity_providers"
    links = "".join(
        f'<li><a href="{base}/{quote(id)}/protocols/{quote(protocol)}/websso?{query}">{html.escape(id)}</a></li>'
        for id in choices
    )
    body = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title></head>'
        f"<body><h1>Who knows you?</h1><ul>{links}</ul></body></html>"
    )
    headers = [("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"), ("Cache-Control", "no-store")]
    return Response(200, body.encode(), headers, media_type="text/html; charset=utf-8")
