"""The token endpoint of OAuth 2.0.  Rule: bodies and errors are those of RFC 6749, not of Identity."""

import base64
import binascii
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from pileus.kernel.context import Context
from pileus.kernel.errors import ApiError, TooLarge
from pileus.kernel.rest import Request, Response, json_response
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.router import api
from pileus.services.identity.app import certificates, oauth2, sign_ins
from pileus.services.identity.app.methods.proof import Attempt
from pileus.services.identity.app.oauth2 import OAuth2Error
from pileus.services.identity.model import IdentitySettings

LONGEST = 64 * 1024
FORM = "application/x-www-form-urlencoded"
UNSTORED = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]


def _answer(error: ApiError) -> Response:
    body = {"error": error.kind or "other_error", "error_description": error.message}
    headers = [*UNSTORED, *error.headers.items()]
    if error.status == 401:
        headers.append(("WWW-Authenticate", 'Basic realm="identity", Keystone uri="/identity"'))
    return json_response(body, error.status, headers)


async def _form(request: Request) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith(FORM):
        return {}
    try:
        text = (await request.read(LONGEST)).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=50)
    except (TooLarge, ValueError) as error:
        raise OAuth2Error(f"The body cannot be read: {error}", kind="invalid_request", status=400) from None
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise OAuth2Error("A parameter is there more than once.", kind="invalid_request", status=400)
    return dict(pairs)


def _basic(request: Request) -> tuple[str, str] | None:
    """Return the id and the secret in the header Authorization."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, secret) if colon else None


async def _token(ctx: Context, request: Request, runtime: Runtime) -> dict[str, Any]:
    form = await _form(request)
    grant = form.get("grant_type")
    if not grant:
        raise OAuth2Error("The parameter grant_type is required.", kind="invalid_request", status=400)
    if grant != oauth2.GRANT:
        message = f"The parameter grant_type {grant[:64]} is not supported."
        raise OAuth2Error(message, kind="unsupported_grant_type", status=400)
    certificate = certificates.presented(request, runtime.config.get(IdentitySettings).client_certificate_header)
    client_id, secret = form.get("client_id"), form.get("client_secret")
    if not (certificate and client_id):
        client_id, secret = _basic(request) or (client_id, secret)
    claimed = {"application_credential": {"id": client_id}} if secret else {"password": {"user": {"id": client_id}}}
    note = partial(sign_ins.note, runtime, ctx, request, {"methods": ["oauth2"], **claimed}, user_id=None)
    try:
        if certificate and client_id and not secret:
            text, seconds = await runtime.db.read(oauth2.by_certificate, runtime, client_id, certificate)
        elif client_id and secret:
            text, seconds = await oauth2.by_secret(Attempt(runtime, ctx, request), client_id, secret)
        else:
            raise oauth2.refused("it sent neither an id with a secret nor an id with a certificate")
    except ApiError as error:
        note(error=error)
        raise
    note(error=None)
    return {"access_token": text, "token_type": "Bearer", "expires_in": seconds}


@api.post("/OS-OAUTH2/token", None)
async def create_access_token(ctx: Context, request: Request, runtime: Runtime) -> Response:
    try:
        return json_response(await _token(ctx, request, runtime), 200, list(UNSTORED))
    except ApiError as error:
        return _answer(error)


@api.get("/OS-OAUTH2/token", None)
@api.put("/OS-OAUTH2/token", None)
@api.patch("/OS-OAUTH2/token", None)
@api.delete("/OS-OAUTH2/token", None)
def refuse_verb(request: Request) -> Response:
    message = "The method is not allowed for the requested URL."
    return _answer(OAuth2Error(message, kind="other_error", status=405, headers={"Allow": "POST"}))
