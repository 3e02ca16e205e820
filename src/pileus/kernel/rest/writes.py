"""How a write is asked for: plainly, once per Idempotency-Key, or only to be told what it would do.

Rule: whichever it is, the decision is made in one transaction by the same handler; a plain write pays for none of it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Invalid, Unauthenticated
from pileus.kernel.rest.binding import Endpoint, InTransaction, Work
from pileus.kernel.rest.dry_run import refused, rehearse
from pileus.kernel.rest.http import Request, Response
from pileus.kernel.rest.idempotency import once

if TYPE_CHECKING:
    from pileus.kernel.rest.app import App

KEY_HEADER = "idempotency-key"
DRY_RUN = "dry_run"
_TRUE, _FALSE = ("true", "1", "yes", "on", ""), ("false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants of a write beyond the write: at most one of the two counts, a dry run first."""

    key: str | None
    dry: bool


def asked(request: Request) -> Asked | None:
    """Return what is asked for beyond a plain write, None for nothing; ``dry_run`` leaves the query string."""
    key = request.headers.get(KEY_HEADER) if request.method == "POST" else None
    if "x-auth-token" not in request.headers:
        key = None  # nobody to remember it for: a log-in
    dry = b"dry_run" in request.query_string and _take_dry_run(request)
    return Asked(key, dry) if dry or key is not None else None


def _take_dry_run(request: Request) -> bool:
    pairs = request.query_items()
    given = [value.lower() for name, value in pairs if name == DRY_RUN]
    if not given:
        return False
    if given[-1] not in _TRUE + _FALSE:
        raise Invalid(f"dry_run must be true or false, not '{given[-1]}'.")
    request.query_string = urlencode([pair for pair in pairs if pair[0] != DRY_RUN]).encode()
    return given[-1] in _TRUE


async def as_asked(app: "App", endpoint: Endpoint, wanted: Asked, request: Request, ctx: Context, raw: Any) -> Response:
    """Run a write as asked; return its answer, the answer of before, or the report of a rehearsal."""
    if endpoint.is_async and not endpoint.defers:
        what = "be tried with dry_run" if wanted.dry else "take an Idempotency-Key"
        raise Invalid(
            f"This request streams data or waits for a host while it runs, so it cannot {what}; "
            "nothing was done. Send it without."
        )
    if wanted.dry:
        try:
            work = await _work(app, endpoint, request, ctx, raw)
        except Unauthenticated:
            raise
        except ApiError as error:
            return refused(error)
        return await rehearse(app.runtime.db, ctx, work)

    def authenticate(tx: Tx) -> None:
        app.authenticate(tx, request, ctx, required=endpoint.route.rule is not None)

    work = await _work(app, endpoint, request, ctx, raw)
    assert wanted.key is not None
    await request.read(endpoint.api.json_limit)
    return await once(app.runtime.db, wanted.key, request, ctx, authenticate, work)


async def _work(app: "App", endpoint: Endpoint, request: Request, ctx: Context, raw: Any) -> Work:
    """Return what is left to do in the transaction."""
    if not endpoint.is_async:
        return lambda tx: app.decide(tx, endpoint, request, ctx, raw)
    arguments = await app.runtime.db.read(app.prepare, endpoint, request, ctx, raw)
    deferred: InTransaction[Any] = await endpoint.route.handler(**arguments)
    return lambda tx: app.conclude(tx, endpoint, request, ctx, deferred.work)
