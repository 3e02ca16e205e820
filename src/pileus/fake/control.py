"""The paths under ``/fake``: for the cloud's administrator, and for who holds the key in its state directory."""

import hmac
import logging
from collections.abc import MutableMapping
from typing import Annotated, Any

import msgspec

from pileus.fake.cloud import FakeCloud
from pileus.fake.faults import AnyFault
from pileus.kernel import clock
from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.errors import ApiError, Forbidden, Invalid, MethodNotAllowed, NotFound, Unauthenticated
from pileus.kernel.rest.formats import error_object
from pileus.kernel.rest.http import Disconnected, Receive, Request, Response, Send, json_response, path_segments

log = logging.getLogger("pileus.fake")
LONGEST_STEP_S = 10 * 366 * 86400


class Forward(msgspec.Struct, forbid_unknown_fields=True):
    """How far time is to move."""

    forward_s: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_STEP_S)]


async def serve(cloud: FakeCloud, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Answer one request."""
    request = Request.from_scope(scope, receive)
    ctx = Context(ANONYMOUS, cloud.runtime.policy)
    try:
        await _admit(cloud, request, ctx)
        await request.read()
        response = await _act(cloud, request)
    except Disconnected:
        return
    except Exception as error:
        response = error_object(_told(error, ctx), ctx.request_id)
    await response.send(send, head=request.method == "HEAD", receive=receive)


def _told(error: Exception, ctx: Context) -> ApiError:
    """Return a failure as it is told: what is no refusal is a defect, and logged."""
    if isinstance(error, ApiError):
        return error
    log.exception("unexpected failure", extra={"request_id": ctx.request_id})
    return ApiError(f"Pileus failed to do this; the log has the cause under request id {ctx.request_id}: {error}.")


async def _admit(cloud: FakeCloud, request: Request, ctx: Context) -> None:
    """Let in an administrator, by a token, or who can read the cloud's state directory, by the key in it."""
    if (key := request.headers.get("x-fake-key")) is not None:
        if not hmac.compare_digest(key.encode(), cloud.key.encode()):
            raise Unauthenticated("X-Fake-Key is not what STATE/run/fake.key holds.")
        return
    runtime = cloud.runtime
    ctx.caller = await runtime.db.read(runtime.authenticate, request, runtime)
    if ctx.caller is ANONYMOUS:
        raise Unauthenticated("Send an administrator's token in X-Auth-Token, or the cloud's key in X-Fake-Key.")
    if not ctx.is_admin:
        raise Forbidden("Only the cloud's administrator may use what is under /fake.")


async def _act(cloud: FakeCloud, request: Request) -> Response:
    match request.method, path_segments(request.path.rstrip("/"))[1:]:
        case "POST", ["reset"]:
            await cloud.reset()
            return Response(204)
        case "GET", ["snapshots"]:
            return json_response({"snapshots": cloud.snapshots.described()})
        case "PUT", ["snapshots", name]:
            await cloud.save(name)
            return Response(204)
        case "DELETE", ["snapshots", name]:
            await cloud.delete(name)
            return Response(204)
        case "POST", ["snapshots", name, "load"]:
            await cloud.load(name)
            return Response(204)
        case "GET", ["faults"]:
            return json_response({"faults": [one.view() for one in cloud.faults.all.values()]})
        case "POST", ["faults"]:
            one = await cloud.break_(_decoded(request, AnyFault))
            return json_response({"fault": one.view()}, 201)
        case "DELETE", ["faults"]:
            return json_response({"cleared": await cloud.mend()})
        case "DELETE", ["faults", id] if id.isdecimal() and len(id) < 10:
            await cloud.mend(int(id))
            return Response(204)
        case "GET", ["time"]:
            return json_response(_time(cloud))
        case "POST", ["time"]:
            cloud.move_time(_decoded(request, Forward).forward_s)
            return json_response(_time(cloud))
        case _, ["reset" | "snapshots" | "faults" | "time", *_]:
            raise MethodNotAllowed(f"{request.method} is not for {request.path}.")
    raise NotFound(f"There is nothing at {request.path}: /fake has reset, snapshots, faults and time.")


def _time(cloud: FakeCloud) -> dict[str, Any]:
    return {"now": clock.now().isoformat(), "ahead_s": cloud.clock.ahead_s}


def _decoded(request: Request, kind: Any) -> Any:
    request.json()  # bounds what is in it
    try:
        return msgspec.json.decode(request.body or b"null", type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{str(error).replace('`', chr(39))}.") from error
