"""``Idempotency-Key``: a POST that is sent again under its key is answered again, not carried out again.

Rule: the key's row is written in the transaction that does the work, so there is either both or neither.  Format and
statuses: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/

The stored answer may hold secrets (a private key, a password that was made up), so it is sealed under the client's
key, of which the database keeps only a digest.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary, String, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import clock, ids
from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.db import Database, Row, Tx
from pileus.kernel.errors import ApiError, Invalid
from pileus.kernel.reconcile import World, reconciler
from pileus.kernel.requests import remember
from pileus.kernel.rest.binding import Work
from pileus.kernel.rest.http import Request, Response

KEEP = timedelta(days=1)
LONGEST_KEY = 255
LARGEST_ANSWER = 1 << 20
NONCE_BYTES = 12
REPLAYED = "Idempotent-Replayed"


class IdempotencyKey(Row):
    """One key that was used: ``id`` is a digest of its owner and itself, ``answer`` is sealed with it."""

    __tablename__ = "idempotency_keys"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(64))
    answer: Mapped[bytes] = mapped_column(LargeBinary(LARGEST_ANSWER + 4096))
    expires_at: Mapped[datetime] = mapped_column(index=True)


class KeyReused(ApiError):
    """The key belongs to another request."""

    status, title = 422, "Unprocessable Entity"


class Answer(msgspec.Struct):
    """What was answered."""

    status: int
    headers: list[tuple[str, str]]
    media_type: str | None
    body: bytes


async def once(
    db: Database,
    given: str,
    request: Request,
    ctx: Context,
    authenticate: Callable[[Tx], None],
    work: Work,
) -> Response:
    """Do ``work`` unless this caller's key was used for it before; return its answer, or the earlier one.

    The request's body must have been read.
    Raises Invalid for a key that cannot be one and KeyReused when it was used for another request.  A refusal rolls
    everything back, the key included: sent again, the request is judged anew.
    """
    key = _key(given)

    def claim(tx: Tx) -> Response:
        if ctx.caller is ANONYMOUS:
            authenticate(tx)
        if ctx.caller is ANONYMOUS:  # nobody to remember it for
            return work(tx)
        owner = f"{ctx.user_id}\n{ctx.project_id}\n{ctx.caller.domain_id or ''}\n{key}"
        id = hashlib.sha256(b"id\n" + owner.encode()).hexdigest()
        fingerprint = _fingerprint(owner, request, ctx)
        seal = AESGCM(hashlib.sha256(b"answer\n" + owner.encode()).digest())
        row = tx.get(IdempotencyKey, id)
        if row is not None and row.expires_at > clock.now():
            replay = _replay(row, fingerprint, seal, key)
            remember(tx, ctx, request.method, request.path, replay.status, replays=row.request_id)
            return replay
        if row is not None:
            tx.delete(row)
            tx.flush()
        response = work(tx)
        tx.add(_row(id, fingerprint, seal, response, ctx))
        tx.flush()
        return response

    try:
        return await db.write(claim)
    except IntegrityError:  # the same request, sent twice at once: the other was first, unless something else collided
        return await db.write(claim)


def _key(given: str) -> str:
    key = given.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':  # a structured field's string; the bare form is common
        key = key[1:-1]
    if not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Invalid(
            f"The header Idempotency-Key must have 1 to {LONGEST_KEY} printable ASCII characters: a fresh UUID is best."
        )
    return key


def _fingerprint(owner: str, request: Request, ctx: Context) -> str:
    """Return a digest of the request that tells nothing of a body (a password, say) without the client's key."""
    version = "{}.{}".format(*ctx.version)
    head = f"{owner}\n{request.method}\n{request.path}\n{version}\n".encode() + request.query_string + b"\n"
    return hashlib.sha256(head + (request.body or b"")).hexdigest()


def _replay(row: IdempotencyKey, fingerprint: str, seal: AESGCM, key: str) -> Response:
    if row.fingerprint != fingerprint:
        raise KeyReused(
            f"The Idempotency-Key '{key}' was used for another request ({row.request_id}): another path, version or "
            "body. Take a fresh key for a new request, or repeat the old one as it was.",
        )
    opened = seal.decrypt(row.answer[:NONCE_BYTES], row.answer[NONCE_BYTES:], None)
    answer = msgspec.msgpack.decode(opened, type=Answer)
    headers = [*answer.headers, (REPLAYED, "true"), ("X-Openstack-Original-Request-Id", row.request_id)]
    return Response(answer.status, answer.body, headers, answer.media_type)


def _row(id: str, fingerprint: str, seal: AESGCM, response: Response, ctx: Context) -> IdempotencyKey:
    assert isinstance(response.body, bytes), "what is decided in a transaction is not streamed"
    if len(response.body) > LARGEST_ANSWER:
        raise Invalid("The answer to this request is too large to be kept for an Idempotency-Key; send it without.")
    answer = Answer(response.status, list(response.headers), response.media_type, response.body)
    nonce = ids.random_bytes(NONCE_BYTES)
    return IdempotencyKey(
        id=id,
        fingerprint=fingerprint,
        request_id=ctx.request_id,
        answer=nonce + seal.encrypt(nonce, msgspec.msgpack.encode(answer), None),
        expires_at=clock.now() + KEEP,
    )


def forget(tx: Tx, limit: int) -> int:
    """Delete keys that have expired, at most ``limit``; return how many there were."""
    old = list(tx.scalars(select(IdempotencyKey.id).where(IdempotencyKey.expires_at <= clock.now()).limit(limit)))
    if old:
        tx.execute(delete(IdempotencyKey).where(IdempotencyKey.id.in_(old)))
    return len(old)


@reconciler("kernel.idempotency_keys", every_s=3600)
async def prune_keys(world: World) -> None:
    """Forget expired keys."""
    await world.forget(forget)
