"""Tokens for requests signed with access keys: what EC2 and S3 services ask Identity.

Rule: as in the newest Keystone, only a service user (or an admin) may ask, so that a signed URL found somewhere
earns nobody a token.
"""

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, Response, json_response
from pileus.kernel.rest.schema import decode
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.router import api
from pileus.services.identity.api.rules import EVERY
from pileus.services.identity.app import access_keys, documents
from pileus.services.identity.app.signatures import SignedRequest

SERVICE = "rule:admin_required or role:service"
EC2 = Rule("identity:ec2tokens_validate", SERVICE, scopes=EVERY)
S3 = Rule("identity:s3tokens_validate", SERVICE, scopes=EVERY)


def _signed(body: Extra) -> SignedRequest:
    if not body:
        raise Invalid('The request must have a body: {"credentials": {"access": ..., "signature": ...}}.')
    given = body.get("credentials") or body.get("credential") or body.get("ec2Credentials") or {}
    if not isinstance(given, dict) or "access" not in given:
        raise Unauthenticated("EC2 signature not supplied.")
    return decode(given, SignedRequest, "credentials")


@api.post("/ec2tokens", EC2, body="", reads=True)
def create_ec2_token(tx: Tx, ctx: Context, runtime: Runtime, body: Extra) -> Response:
    text, token = access_keys.by_request(tx, runtime, _signed(body))
    document = documents.token_document(tx, runtime, ctx, token)
    return json_response({"token": document}, 200, [("X-Subject-Token", text)])


@api.post("/s3tokens", S3, body="", reads=True)
def create_s3_token(tx: Tx, ctx: Context, runtime: Runtime, body: Extra) -> Response:
    _, token = access_keys.by_text(tx, runtime, _signed(body))
    return json_response({"token": documents.token_document(tx, runtime, ctx, token)}, 200)
