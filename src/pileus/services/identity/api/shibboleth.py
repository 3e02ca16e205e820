"""The address at which clouds behind Apache and Shibboleth take assertions: ``/Shibboleth.sso/SAML2/ECP``.

Service providers that other clouds have written down name it, and expect a redirect and a session instead of a token:
the checked assertion travels in a sealed cookie to the address of the protocol, where the token is made.
"""

from collections.abc import MutableMapping
from typing import Any

from pileus.kernel import clock
from pileus.kernel.errors import ApiError, NotFound, TooLarge, Unauthenticated
from pileus.kernel.rest import Request, Response
from pileus.kernel.rest.formats import error_object
from pileus.kernel.rest.http import Receive, Send
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.federation.saml import BASE, COOKIE, Samls
from pileus.services.identity.app.federation.sealed import seal

PATH = "/Shibboleth.sso/SAML2/ECP"
LARGEST_COOKIE = 3800


def make_shibboleth(runtime: Runtime) -> Any:
    """Return the ASGI application."""

    async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request.from_scope(scope, receive)
        runtime.app.proxies.look_behind(request)
        ctx = runtime.app.context(request)
        try:
            response = await _take(runtime, ctx.base_url, request)
        except ApiError as error:
            response = error_object(error, ctx.request_id)
        await response.send(send)

    return application


async def _take(runtime: Runtime, base_url: str, request: Request) -> Response:
    if request.path != PATH or request.method != "POST":
        raise NotFound(f"There is nothing here but POST {PATH}.")
    message = (await request.read()).decode("utf-8", "replace")
    presented = await runtime.part(Samls).whose(base_url, f"{base_url}{PATH}", message)
    sealed = seal(runtime, presented)
    if len(sealed) > LARGEST_COOKIE:
        raise TooLarge(
            "The assertion says more than fits into a session here. Name the address of the protocol's auth as sp_url."
        )
    life_s = int(presented.assertion.until - clock.now().timestamp())
    if life_s <= 0:
        raise Unauthenticated("The SAML assertion was refused: it has ended.")
    where = f"{BASE}/identity_providers/{presented.provider}/protocols/{presented.protocol}/auth"
    secure = "; Secure" if base_url.startswith("https:") else ""
    headers = [
        ("Location", f"{base_url}{where}"),
        ("Set-Cookie", f"{COOKIE}={sealed}; Path={BASE}; Max-Age={life_s}; HttpOnly; SameSite=Strict{secure}"),
        ("Cache-Control", "no-store"),
    ]
    return Response(302, b"", headers, media_type=None)
