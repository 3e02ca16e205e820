"""OAuth 1: a user lets a program act with some of its roles on a project, without telling it a password.

Rule: as with trusts, an access token grants nothing that its user does not have at the moment of use.
"""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pileus.kernel import clock, events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound, Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import roles, secrets
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.app.oauth1_signatures import Signed, refused, spend
from pileus.services.identity.model import NO_DOMAIN, IdentitySettings
from pileus.services.identity.model.oauth1 import AccessToken, Consumer, RequestToken
from pileus.services.identity.store import oauth1, projects, tokens
from pileus.services.identity.store import roles as role_rows


def create_consumer(
    tx: Tx, runtime: Runtime, ctx: Context, description: str | None, extra: dict[str, Any]
) -> tuple[Consumer, str]:
    """Add a consumer; return it and its secret, which is shown once."""
    secret = ids.new_hex_id()
    row = Consumer(
        id=ids.new_hex_id(), description=description, sealed_secret=secrets.seal(runtime, secret), extra=extra
    )
    tx.add(row)
    events.emit(tx, "identity.consumer.created", row.id, ctx=ctx)
    return row, secret


def delete_consumer(tx: Tx, ctx: Context, row: Consumer) -> None:
    """Remove a consumer; what it got from users ends."""
    oauth1.delete_tokens(tx, consumer_ids=[row.id])
    tokens.move_revision(tx)
    events.emit(tx, "identity.consumer.deleted", row.id, ctx=ctx)
    tx.delete(row)


def create_request_token(tx: Tx, runtime: Runtime, ctx: Context, signed: Signed, project_id: str) -> tuple[str, ...]:
    """Add a request token; return its id, its secret and when it ends."""
    _check(tx, runtime, signed, token_secret="")
    if projects.get_project(tx, project_id) is None:
        raise NotFound(f"Could not find project: {project_id}.")
    secret = ids.new_hex_id()
    lifetime_s = runtime.config.get(IdentitySettings).oauth1_request_token_lifetime_s
    row = RequestToken(
        id=ids.new_hex_id(),
        consumer_id=signed.consumer_id,
        sealed_secret=secrets.seal(runtime, secret),
        project_id=project_id,
        expires_at=_end(lifetime_s),
        role_ids=[],
    )
    tx.add(row)
    events.emit(tx, "identity.request_token.created", row.id, ctx=ctx)
    return row.id, secret, _text(row.expires_at)


def authorize(tx: Tx, ctx: Context, request_token_id: str, asked: Sequence[tuple[str | None, str | None]]) -> str:
    """Let the caller grant roles of its own to who asked; return the verifier to hand to the consumer."""
    row = oauth1.get_request_token(tx, request_token_id)
    if row is None:
        raise NotFound(f"Could not find request token: {request_token_id}.")
    if row.expires_at is not None and row.expires_at <= clock.now():
        raise Unauthenticated("The request token has expired: let the consumer ask for a new one.")
    wanted = {_role(tx, id, name) for id, name in asked}
    if not wanted:
        raise Invalid("At least one role must be named in roles: the consumer gets those and no others.")
    if not wanted <= roles.held_on_project(tx, ctx.user_id, row.project_id):
        raise Unauthenticated("The authorizing user does not have one of the roles on the project.")
    row.role_ids = sorted(wanted)
    row.authorizing_user_id = ctx.user_id
    verifier = base64.b32encode(ids.random_bytes(5)).decode()  # eight letters and digits, for people to type
    row.verifier = verifier
    events.emit(tx, "identity.request_token.authorized", row.id, ctx=ctx)
    return verifier


def _role(tx: Tx, id: str | None, name: str | None) -> str:
    row = role_rows.get_role(tx, id) if id is not None else role_rows.find_role(tx, name or "", NO_DOMAIN)
    if row is None:
        raise NotFound(f"Could not find role: {id or name}.")
    return row.id


def create_access_token(tx: Tx, runtime: Runtime, ctx: Context, signed: Signed) -> tuple[str, ...]:
    """Exchange an authorized request token; return the id, the secret and the end of an access token."""
    row = oauth1.get_request_token(tx, signed.token_id)
    secret = secrets.unseal(runtime, row.sealed_secret) if row is not None else ids.new_hex_id()
    _check(tx, runtime, signed, token_secret=secret)
    if (
        row is None
        or row.consumer_id != signed.consumer_id
        or row.authorizing_user_id is None
        or not hmac.compare_digest((row.verifier or "").encode(), signed.verifier.encode("utf-8", "surrogatepass"))
        or (row.expires_at is not None and row.expires_at <= clock.now())
    ):
        raise refused()
    made = ids.new_hex_id()
    token = AccessToken(
        id=ids.new_hex_id(),
        consumer_id=row.consumer_id,
        sealed_secret=secrets.seal(runtime, made),
        project_id=row.project_id,
        authorizing_user_id=row.authorizing_user_id,
        role_ids=row.role_ids,
        expires_at=_end(runtime.config.get(IdentitySettings).oauth1_access_token_lifetime_s),
    )
    tx.add(token)
    tx.delete(row)
    events.emit(tx, "identity.access_token.created", token.id, ctx=ctx)
    return token.id, made, _text(token.expires_at)


def delete_access_token(tx: Tx, ctx: Context, row: AccessToken) -> None:
    """End what a consumer may do for a user."""
    tokens.move_revision(tx)
    events.emit(tx, "identity.access_token.deleted", row.id, ctx=ctx)
    tx.delete(row)


def living(tx: Tx, id: str) -> AccessToken:
    """Return an access token that is not over; raise Unauthenticated."""
    row = oauth1.get_access_token(tx, id)
    if row is None or (row.expires_at is not None and row.expires_at <= clock.now()):
        raise Unauthenticated(REFUSAL)
    return row


def granted(tx: Tx, row: AccessToken) -> set[str]:
    """Return the ids of the roles an access token grants now."""
    return set(row.role_ids) & roles.held_on_project(tx, row.authorizing_user_id, row.project_id)


def secrets_fit(tx: Tx, runtime: Runtime, signed: Signed, row: AccessToken | None) -> bool:
    """Tell whether a request is signed by a consumer and its access token."""
    secret = secrets.unseal(runtime, row.sealed_secret) if row is not None else ids.new_hex_id()
    good = _is_by(tx, runtime, signed, secret)
    return good and row is not None and row.consumer_id == signed.consumer_id


def _check(tx: Tx, runtime: Runtime, signed: Signed, *, token_secret: str) -> None:
    """Raise Unauthenticated unless the consumer signed the request just now, for the first time."""
    if not _is_by(tx, runtime, signed, token_secret):
        raise refused()
    spend(tx, signed, runtime.config.get(IdentitySettings).signature_lifetime_s)


def _is_by(tx: Tx, runtime: Runtime, signed: Signed, token_secret: str) -> bool:
    consumer = oauth1.get_consumer(tx, signed.consumer_id)
    secret = secrets.unseal(runtime, consumer.sealed_secret) if consumer is not None else ids.new_hex_id()
    return signed.is_by(secret, token_secret) and consumer is not None


def _end(lifetime_s: int) -> datetime | None:
    return clock.now() + timedelta(seconds=lifetime_s) if lifetime_s else None


def _text(moment: datetime | None) -> str:
    return f"{clock.iso_micro(moment)}Z" if moment is not None else ""
