"""This cloud as the identity provider of others: SAML assertions for tokens (OS-FEDERATION, Keystone to Keystone)."""

from typing import Annotated

from pileus.kernel.context import Context
from pileus.kernel.errors import MethodNotAllowed
from pileus.kernel.rest import Body, Name, Response, at_most
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.router import api
from pileus.services.identity.app.federation import saml
from pileus.services.identity.app.federation.saml import Exchange, Samls


class ById(Body):
    id: str


class TokenIdentity(Body):
    token: ById
    methods: Annotated[list[Name], at_most(10)] = []


class ServiceScope(Body):
    service_provider: ById


class Exchanged(Body):
    identity: TokenIdentity
    scope: ServiceScope


def _answer(signed: str, exchange: Exchange) -> Response:
    headers = [("X-sp-url", exchange.sp_url), ("X-auth-url", exchange.auth_url), ("Cache-Control", "no-store")]
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{signed}'
    return Response(200, body.encode(), headers, media_type="text/xml")


@api.post("/auth/OS-FEDERATION/saml2", None, body="auth")
async def vouch(ctx: Context, runtime: Runtime, body: Exchanged) -> Response:
    wanted = body.scope.service_provider.id
    return _answer(*await saml.vouch(runtime, ctx, body.identity.token.id, wanted, enveloped=False))


@api.post("/auth/OS-FEDERATION/saml2/ecp", None, body="auth")
async def vouch_in_envelope(ctx: Context, runtime: Runtime, body: Exchanged) -> Response:
    wanted = body.scope.service_provider.id
    return _answer(*await saml.vouch(runtime, ctx, body.identity.token.id, wanted, enveloped=True))


@api.get("/auth/OS-FEDERATION/saml2", None)
@api.get("/auth/OS-FEDERATION/saml2/ecp", None)
def not_read() -> None:
    raise MethodNotAllowed("Assertions are made by POST.", headers={"Allow": "POST"})


@api.get("/OS-FEDERATION/saml2/metadata", None)
async def metadata(ctx: Context, runtime: Runtime) -> Response:
    return Response(200, (await runtime.part(Samls).metadata(ctx)).encode(), media_type="text/xml")
