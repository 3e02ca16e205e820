"""The metadata proxy does not trust the guest: sizes, times, numbers and headers have limits."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pileus.services.network.drivers.linux import metadata
from pileus.services.network.drivers.linux.metadata import MetadataProxy, MetadataUpstream
from pileus.services.network.metadata_signature import verify

SECRET = b"secret"


class Api:
    """The upstream: remembers the last request, answers with what the test sets."""

    def __init__(self) -> None:
        self.seen = b""
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.release = asyncio.Event()
        self.release.set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.seen = head + await reader.readexactly(length)
        await self.release.wait()
        writer.write(self.answer)
        writer.close()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    api = Api()
    server = await asyncio.start_unix_server(api.connected, tmp_path / "api")
    yield api
    server.close()


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[tuple[MetadataProxy, int]]:
    proxy = MetadataProxy(MetadataUpstream(f"unix://{tmp_path / 'api'}:/metadata", SECRET))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    await proxy.serve("namespace", "dhcp", "the-network", listener)
    yield proxy, listener.getsockname()[1]
    await proxy.close()


async def send(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"hello\r\n\r\n", b"400", id="no HTTP"),
        pytest.param(b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", b"400", id="absolute target"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", b"400", id="other protocol"),
        pytest.param(b"DELETE / HTTP/1.1\r\n\r\n", b"405", id="other method"),
        pytest.param(b"GET / HTTP/1.1\r\nfoo\r\n\r\n", b"400", id="header without colon"),
        pytest.param(b"GET / HTTP/1.1\r\na: b\nX-Forwarded-For: 1.2.3.4\r\n\r\n", b"400", id="hidden header"),
        pytest.param(b"GET / HTTP/1.1\r\na: b\r\n c: d\r\n\r\n", b"400", id="folded header"),
        pytest.param(b"GET / HTTP/1.1\r\na : b\r\n\r\n", b"400", id="space before colon"),
        pytest.param(b"GET / HTTP/1.1\r\na: " + b"b" * 40000 + b"\r\n\r\n", b"431", id="big head"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400", id="two lengths"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400", id="negative length"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 999999\r\n\r\n", b"413", id="big body"),
        pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411", id="chunks"),
    ],
)
async def test_a_bad_request_is_refused_and_goes_nowhere(
    api: Api, proxy: tuple[MetadataProxy, int], request_bytes: bytes, status: bytes
) -> None:
    answer = await send(proxy[1], request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert api.seen == b""


async def test_the_asker_is_named_and_signed_by_us_alone(api: Api, proxy: tuple[MetadataProxy, int]) -> None:
    forged = b"x-forwarded-for: 1.2.3.4\r\nX-PILEUS-Metadata-Signature: 00\r\nX-Neutron-Router-ID: r\r\nHost: a\r\n"
    answer = await send(proxy[1], b"POST /a?b=c HTTP/1.1\r\n" + forged + b"Content-Length: 3\r\nX-Ok: yes\r\n\r\nabc")
    assert answer == api.answer
    head, body = api.seen.split(b"\r\n\r\n")
    assert body == b"abc"
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /metadata/a?b=c HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert len(headers) == len(lines) - 1
    signature = headers.pop("X-Pileus-Metadata-Signature")
    assert verify(SECRET, "X-Neutron-Network-ID", "the-network", "127.0.0.1", signature)
    assert headers == {
        "X-Ok": "yes",
        "Host": "localhost",
        "Connection": "close",
        "X-Forwarded-For": "127.0.0.1",
        "X-Neutron-Network-ID": "the-network",
        "Content-Length": "3",
    }


async def test_a_slow_guest_is_let_go(
    api: Api, proxy: tuple[MetadataProxy, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "READ_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])
    writer.write(b"GET / HT")
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()
    assert (await send(proxy[1], b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_one_network_cannot_take_all_connections(
    api: Api, proxy: tuple[MetadataProxy, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "CONNECTIONS_PER_NAMESPACE", 2)
    held = [await asyncio.open_connection("127.0.0.1", proxy[1]) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert (await send(proxy[1], b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 503")
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.05)
    assert (await send(proxy[1], b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_a_dead_api_is_said_to_be_unavailable(proxy: tuple[MetadataProxy, int]) -> None:
    assert (await send(proxy[1], b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 503")


async def test_an_api_that_hangs_up_is_a_bad_gateway(api: Api, proxy: tuple[MetadataProxy, int]) -> None:
    api.answer = b""
    assert (await send(proxy[1], b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 502")


async def test_stopping_cuts_open_connections(api: Api, proxy: tuple[MetadataProxy, int]) -> None:
    api.release.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0.05)
    await asyncio.wait_for(proxy[0].stop("namespace"), 2)
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()
    api.release.set()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy[1])


class Crowd:
    """Connections that ask for something and are not answered yet."""

    def __init__(self) -> None:
        self.readers: list[asyncio.StreamReader] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def ask(self, port: int, guest: str, number: int = 1) -> None:
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(guest, 0))
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            self.readers.append(reader)
            self.writers.append(writer)
            await asyncio.sleep(0)

    async def answers(self) -> list[bytes]:
        found = [await asyncio.wait_for(reader.read(), 5) for reader in self.readers]
        for writer in self.writers:
            writer.close()
        return [answer.split(b" ")[1] if answer else b"cut" for answer in found]


async def settled(proxy: MetadataProxy, number: int) -> None:
    for _ in range(5000):
        if sum(map(len, proxy._open.values())) == number:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"not {number} connections")


async def test_one_guest_leaves_room_for_the_others_of_its_network(
    proxy: tuple[MetadataProxy, int], api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "CONNECTIONS_PER_GUEST", 2)
    api.release.clear()
    crowd = Crowd()
    await crowd.ask(proxy[1], "127.0.0.2", 3)
    await settled(proxy[0], 2)
    await crowd.ask(proxy[1], "127.0.0.3")
    await settled(proxy[0], 3)
    api.release.set()
    assert await crowd.answers() == [b"200", b"200", b"503", b"200"]


async def test_a_network_that_asks_for_all_makes_way_for_another(
    proxy: tuple[MetadataProxy, int], api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "CONNECTIONS", 4)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    await proxy[0].serve("another", "dhcp", "another-network", listener)
    api.release.clear()
    greedy, modest = Crowd(), Crowd()
    await greedy.ask(proxy[1], "127.0.0.2", 4)
    await settled(proxy[0], 4)
    await modest.ask(listener.getsockname()[1], "127.0.0.3")
    await settled(proxy[0], 4)
    await greedy.ask(proxy[1], "127.0.0.4")
    await settled(proxy[0], 4)
    api.release.set()
    assert await modest.answers() == [b"200"]
    assert sorted(await greedy.answers()) == [b"200", b"200", b"200", b"503", b"cut"]
