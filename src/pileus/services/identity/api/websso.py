"""Single sign-on of dashboards in the browser (OS-FEDERATION)."""

from pileus.kernel.context import Context
from pileus.kernel.db import Database
from pileus.kernel.errors import NotFound
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.federation_auth import noted, open_for
from pileus.services.identity.api.router import api
from pileus.services.identity.app.federation import websso
from pileus.services.identity.app.federation.openid import OpenIds

BASE = "/auth/OS-FEDERATION"


@api.get(f"{BASE}/websso/{{protocol}}", None)
@api.post(f"{BASE}/websso/{{protocol}}", None)
async def sign_on(ctx: Context, request: Request, runtime: Runtime, db: Database, protocol: str) -> Response:
    origin = websso.trusted_origin(runtime, ctx, request)
    choices = await db.read(runtime.part(OpenIds).choices, protocol)
    if not choices:
        raise NotFound(f"No enabled identity provider can be asked by {protocol} in a browser.")
    if len(choices) > 1:
        return websso.chooser(request, protocol, choices)
    return await websso.set_out(runtime, ctx, choices[0], protocol, origin)


@api.get(f"{BASE}/identity_providers/{{provider}}/protocols/{{protocol}}/websso", None)
@api.post(f"{BASE}/identity_providers/{{provider}}/protocols/{{protocol}}/websso", None)
async def sign_on_with(
    ctx: Context, request: Request, runtime: Runtime, db: Database, provider: str, protocol: str
) -> Response:
    origin = websso.trusted_origin(runtime, ctx, request)
    await db.read(open_for, provider, protocol)
    return await websso.set_out(runtime, ctx, provider, protocol, origin)


@api.get(f"{BASE}/openid/callback", None)
async def come_back(ctx: Context, request: Request, runtime: Runtime) -> Response:
    async with noted(runtime, ctx, request) as arrived:
        user_id, page = await websso.come_back(runtime, ctx, request)
        arrived.append(user_id)
    return page
