"""How Swift answers: facts in headers, refusals as text, a transaction id with everything."""

from datetime import datetime

from pileus.dialects.swift import swift_error
from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.errors import ApiError
from pileus.kernel.rest import Api, Response
from pileus.services.object_store.api.screen import screen
from pileus.services.object_store.model import POLICY

Headers = list[tuple[str, str]]


def transaction_id(request_id: str) -> str:
    """Return ``tx<21 hex digits>-<10 hex digits of the time>``, made from the request's id."""
    digits = request_id.removeprefix("req-").replace("-", "").ljust(21, "0")[:21]
    return f"tx{digits}-{int(clock.now().timestamp()):010x}"


def refusal(error: ApiError, request_id: str) -> Response:
    """Answer a refusal."""
    response = swift_error(error, request_id)
    response.headers.append(("X-Trans-Id", transaction_id(request_id)))
    return response


def answer(
    ctx: Context, status: int, headers: Headers, body: bytes = b"", media_type: str = "text/plain; charset=utf-8"
) -> Response:
    """Answer with headers and a body that is whole already."""
    trans_id = ("X-Trans-Id", transaction_id(ctx.request_id))
    if status == 204:  # the kernel gives an empty answer no type; Swift's clients look for one
        return Response(204, b"", [*headers, trans_id, ("Content-Type", media_type)], None)
    return Response(status, body, [*headers, trans_id], media_type)


def timestamp(moment: datetime) -> str:
    """Return seconds since the epoch with five decimals."""
    return f"{moment.timestamp():.5f}"


def usage_headers(kind: str, objects: int, size: int, containers: int | None = None) -> Headers:
    """Return what an account or container holds, in all and by storage policy."""
    headers = [(f"X-{kind}-Object-Count", str(objects)), (f"X-{kind}-Bytes-Used", str(size))]
    if containers is not None:
        policy = f"X-Account-Storage-Policy-{POLICY}"
        headers += [
            ("X-Account-Container-Count", str(containers)),
            (f"{policy}-Object-Count", str(objects)),
            (f"{policy}-Bytes-Used", str(size)),
            (f"{policy}-Container-Count", str(containers)),
        ]
    return headers


api = Api("object_store", "/v1", error=refusal, screen=screen)
root = Api("object_store", "", error=refusal, is_default=True)
