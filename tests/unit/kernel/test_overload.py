"""What no client can do to the others: hold connections, sockets or memory for nothing, or take every turn."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from pileus.kernel import policy
from pileus.kernel.context import ANONYMOUS, Caller, Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import TooManyRequests
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Api, Request, Response, connections
from pileus.kernel.rest.connections import bounded, watch_connections
from pileus.kernel.rest.limits import REMEMBERED, LimitSettings, Rates
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import Service
from pileus.kernel.testing import client, running
from pileus.services.dashboard import live

api = Api("load", "/v1")
ANY = Rule("load:any", policy.ANYONE)
gate = asyncio.Event()


@api.get("/quick", ANY)
def quick(ctx: Context) -> dict[str, str]:
    return {"project": ctx.project_id}


@api.post("/echo", ANY, body="")
def echo(body: dict[str, Any]) -> dict[str, Any]:
    return body


@api.get("/slow", ANY)
async def slow() -> dict[str, str]:
    await gate.wait()
    return {}


@api.get("/large", ANY)
async def large() -> Response:
    return Response(200, bytes(30 << 20))


@api.websocket("/socket")
async def listen(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive_text()


@api.get("/many", ANY)
def many(request: Request) -> dict[str, int]:
    return {"parameters": len(request.query_items())}


def authenticate(tx: Tx, request: Request, runtime: Runtime) -> Caller:
    token = request.headers.get("x-auth-token")
    return Caller(user_id="u", project_id=token) if token else ANONYMOUS


SERVICE = Service("load", "/load", [api], authenticate=authenticate)
TIGHT = LimitSettings(
    connections=20, head_bytes=8192, head_s=0.5, body_s=0.5, stall_s=1.0, unsent_bytes=256 << 20, requests=5
)
HEAD = b"GET /load/v1/quick HTTP/1.1\r\nHost: x\r\nX-Auth-Token: p\r\n"


class Server:
    """A real server on a port of its own, with tight limits and a watch that looks often."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, data: bytes) -> bytes:
        """Send bytes and return all that comes back until the server closes."""
        reader, writer = await self.open()
        writer.write(data)
        answer = b""
        try:
            async with asyncio.timeout(10):
                while piece := await reader.read(1 << 16):
                    answer += piece
        except ConnectionError:
            pass  # closed with something of ours unread: what it said may be lost with it
        writer.close()
        return answer

    async def serves(self) -> bool:
        return b"200 OK" in await self.say(HEAD + b"Connection: close\r\n\r\n")


@pytest.fixture
async def serve(tmp_path, monkeypatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(connections, "LOOK_EVERY_S", 0.1)
    tables = {"limits": {"requests": TIGHT.requests, "websockets": 1}}
    gate.clear()
    async with running(tmp_path, [SERVICE], tables) as runtime:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(runtime.app, http=bounded(TIGHT), log_config=None, lifespan="off", access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        watch = asyncio.create_task(watch_connections(server, TIGHT))
        async with asyncio.timeout(10):
            while True:
                await asyncio.sleep(0.01)
                if server.started:
                    break
        yield Server(listener.getsockname()[1])
        gate.set()
        server.should_exit = True
        watch.cancel()
        await task


async def ended(reader: asyncio.StreamReader, within_s: float) -> float:
    """Return after how many seconds the server closed the connection."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(within_s):
            while await reader.read(1 << 16):
                pass
    except ConnectionError:
        pass
    return time.monotonic() - started


async def test_a_head_that_never_ends_is_cut_off(serve):
    reader, writer = await serve.open()
    writer.write(HEAD)

    async def drip():
        while True:
            writer.write(b"X-More: a\r\n")
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    assert await ended(reader, 5) < 3
    dripping.cancel()
    assert await serve.serves()


async def test_a_connection_that_says_nothing_is_closed(serve):
    reader, _ = await serve.open()
    assert 0.3 < await ended(reader, 5) < 3


async def test_an_idle_connection_between_requests_stays(serve):
    reader, writer = await serve.open()
    for _ in range(2):
        writer.write(HEAD + b"\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b"200 OK" in head
        await reader.readuntil(b"}")
        await asyncio.sleep(1)
    writer.close()


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-Large: " + b"a" * 20_000 + b"\r\n\r\n",
        HEAD + b"X-Large: " + b"a" * 200_000 + b"\r\n\r\n",
        HEAD + b"X-Endless: " + b"a" * 100_000,
        b"GET /load/v1/quick?" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(400)) + b"\r\n",
    ],
    ids=["one large", "larger than a read", "endless", "path", "many"],
)
async def test_a_head_that_is_too_large_is_refused(serve, head):
    answer = await serve.say(head)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431"), answer[:100]
    assert await serve.serves()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /load/v1/quick HTTP/1.1\r\nX-Auth-Token: p\r\n\r\n",
        b"GET /load/v1/quick HTTP/1.1\r\nHost: x\r\nHost: y\r\nX-Auth-Token: p\r\n\r\n",
        b"GET /load/v1/quick\r\n\r\n",
    ],
    ids=["no host", "two hosts", "HTTP 0.9"],
)
async def test_a_request_has_one_host(serve, head):
    """Two readers, a proxy and this server, would else understand it differently (RFC 9112, 3.2)."""
    assert (await serve.say(head)).startswith(b"HTTP/1.1 400 ")
    assert await serve.serves()


async def test_a_body_that_stops_is_cut_off(serve):
    reader, writer = await serve.open()
    body = HEAD.replace(b"GET /load/v1/quick", b"POST /load/v1/echo")
    writer.write(body + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    assert await ended(reader, 5) < 3


async def test_a_body_that_is_too_large_is_refused_before_it_came(serve):
    post = HEAD.replace(b"GET /load/v1/quick", b"POST /load/v1/echo")
    reader, writer = await serve.open()
    writer.write(post + b"Content-Type: application/json\r\nContent-Length: 10000000000\r\n\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    assert await ended(reader, 5) < 3  # and what goes on coming is not waited for
    chunked = post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await serve.open()
    writer.write(chunked)
    for _ in range(40):
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_a_client_that_does_not_take_its_answer_is_cut_off(serve):
    reader, writer = await serve.open()
    writer.write(HEAD.replace(b"/quick", b"/large") + b"\r\n")
    await asyncio.sleep(0.1)
    writer.transport.pause_reading()
    await asyncio.sleep(3)
    writer.transport.resume_reading()
    taken = 0
    try:
        while data := await asyncio.wait_for(reader.read(1 << 20), 5):
            taken += len(data)
    except ConnectionError:
        pass
    assert taken < 30 << 20
    assert await serve.serves()


async def test_idle_connections_make_room_for_new_ones(serve):
    held = [await serve.open() for _ in range(TIGHT.connections * 3)]
    assert await serve.serves()
    for _, writer in held:
        writer.close()


async def test_beyond_its_places_the_server_says_when_to_come_back(serve):
    slow = HEAD.replace(b"/quick", b"/slow") + b"\r\n"
    held = []
    for _ in range(TIGHT.requests):
        reader, writer = await serve.open()
        writer.write(slow)
        held.append((reader, writer))
    await asyncio.sleep(0.3)
    answer = await serve.say(HEAD + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in answer.lower()
    gate.set()
    for reader, writer in held:
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
    assert await serve.serves()


async def test_websockets_have_places_too(serve):
    url = f"ws://127.0.0.1:{serve.port}/load/v1/socket"
    async with connect(url) as first:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "1"
        await first.send("enough")
        await first.wait_closed()
    async with connect(url) as again:
        await again.send("enough")


async def test_live_pages_have_places_too(tmp_path):
    async with running(tmp_path, [SERVICE], {"limits": {"watchers": 1}}) as runtime:
        first = live._messages(runtime, "p", None)
        assert await anext(first) == "retry: 2000\n\n"
        assert [line async for line in live._messages(runtime, "p", None)] == [f"retry: {live.FULL_RETRY_MS}\n\n"]
        await first.aclose()
        again = live._messages(runtime, "p", None)
        assert await anext(again) == "retry: 2000\n\n"
        await again.aclose()


async def test_a_project_has_its_rate_and_others_theirs(tmp_path):
    tables = {"limits": {"project_rate": 1, "project_burst": 3}}
    async with (
        running(tmp_path, [SERVICE], tables) as runtime,
        client(runtime, "greedy") as greedy,
        client(runtime, "modest") as modest,
    ):
        statuses = [(await greedy.get("/load/v1/quick")).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        refused = await greedy.get("/load/v1/quick")
        assert int(refused.headers["retry-after"]) >= 1
        assert "Too many requests" in refused.text
        assert (await modest.get("/load/v1/quick")).status_code == 200


def test_a_bucket_fills_with_time_and_the_memory_of_buckets_is_bounded():
    now = [0.0]
    rates = Rates(LimitSettings(project_rate=2, project_burst=2), lambda: now[0])
    rates.take("a")
    rates.take("a")
    with pytest.raises(TooManyRequests):
        rates.take("a")
    now[0] = 0.5
    rates.take("a")
    for number in range(3 * REMEMBERED):
        rates.take(str(number))
    assert len(rates._buckets._buckets) <= REMEMBERED + 1
    with pytest.raises(TooManyRequests):
        rates.take("a")


async def test_hostile_documents_and_queries_are_refused(tmp_path):
    async with running(tmp_path, [SERVICE]) as runtime, client(runtime, "p") as http:
        deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
        assert (await http.post("/load/v1/echo", content=deep)).status_code == 400
        assert (await http.get("/load/v1/many?" + "&".join(f"a{n}=1" for n in range(5000)))).status_code == 400
        assert (await http.get("/load/v1/quick")).status_code == 200
