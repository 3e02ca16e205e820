"""The bytes of images over HTTP: uploaded, checked, staged, imported, downloaded."""

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pileus.kernel import addresses
from pileus.kernel.errors import Invalid, Unavailable
from pileus.kernel.runtime import Runtime
from pileus.services.image import public
from pileus.services.image.drivers.web import WebSource
from pileus.services.object_store.app.blobs import blobs_of
from pileus.services.object_store.drivers.fake import FakeDriver
from tests.api.image.conftest import BINARY, PATCH, create, upload

QCOW2 = b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(16) + (1 << 30).to_bytes(8, "big") + bytes(100)
BACKED = QCOW2[:8] + (104).to_bytes(8, "big") + QCOW2[16:]


async def test_refusals_bear_the_name_of_their_status(http: httpx.AsyncClient) -> None:
    id = (await create(http))["id"]
    answer = await http.put(f"images/{id}/file", content=b"x", headers={"Content-Type": "text/plain"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["title"]) == (
        415,
        "415 Unsupported Media Type",
        "Unsupported Media Type",
    )


async def test_upload_and_download(http: httpx.AsyncClient, data_files) -> None:
    data = os.urandom(5_000_001)
    id = (await create(http))["id"]
    assert (await http.get(f"images/{id}/file")).status_code == 204
    assert (await upload(http, id, data)).status_code == 204
    image = (await http.get(f"images/{id}")).json()
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(data), len(data))
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    assert image["stores"] == "object_store"
    got = await http.get(f"images/{id}/file")
    assert got.content == data
    assert got.headers["content-md5"] == image["checksum"]
    assert got.headers["content-type"] == "application/octet-stream"
    [path] = data_files()
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("headers", "status", "content"),
    [
        ({"Range": "bytes=1-2"}, 206, b"at"),
        ({"Range": "bytes=2-"}, 206, b"ta"),
        ({"Range": "bytes=-1"}, 206, b"a"),
        ({"Content-Range": "bytes 0-1/4"}, 206, b"da"),
        ({"Range": "bytes=4-"}, 416, None),
        ({"Range": "bytes=x"}, 416, None),
    ],
)
async def test_ranges(http: httpx.AsyncClient, headers: dict, status: int, content: bytes | None) -> None:
    id = (await create(http))["id"]
    await upload(http, id, b"data")
    got = await http.get(f"images/{id}/file", headers=headers)
    assert got.status_code == status
    if content is not None:
        assert got.content == content


async def test_an_upload_needs_a_queued_image_with_formats(http: httpx.AsyncClient, data_files) -> None:
    bare = (await http.post("images", json={})).json()["id"]
    assert (await upload(http, bare)).status_code == 400
    id = (await create(http))["id"]
    answer = await http.put(f"images/{id}/file", content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    answer = await http.put(f"images/{id}/file", content=b"x", headers=BINARY | {"X-OpenStack-Image-Size": "5"})
    assert answer.status_code == 400
    assert (await http.get(f"images/{id}")).json()["status"] == "queued"
    assert data_files() == []
    assert (await upload(http, id)).status_code == 204
    answer = await upload(http, id)
    assert answer.status_code == 409
    assert "active" in answer.json()["message"]


@pytest.mark.parametrize(
    ("disk_format", "data", "words"),
    [
        ("qcow2", b"bogus" * 1000, "content is raw"),
        ("raw", QCOW2, "content is qcow2"),
        ("qcow2", BACKED, "backing file"),
        ("vmdk", b"# Disk DescriptorFile\n", "points at other files"),
    ],
)
async def test_wrong_bytes_are_refused(
    http: httpx.AsyncClient, disk_format: str, data: bytes, words: str, data_files
) -> None:
    id = (await create(http, disk_format=disk_format))["id"]
    answer = await upload(http, id, data)
    assert answer.status_code == 415
    assert words in answer.json()["message"]
    image = (await http.get(f"images/{id}")).json()
    assert (image["status"], image["size"]) == ("queued", None)
    assert data_files() == []


async def test_the_wrong_format_is_refused_before_all_has_arrived(cloud: Runtime, http: httpx.AsyncClient) -> None:
    id = (await create(http, disk_format="qcow2"))["id"]
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1 << 20
            yield bytes(1 << 20)

    answer = await http.put(f"images/{id}/file", content=endless(), headers=BINARY)
    assert answer.status_code == 415
    assert sent < 8 << 20


async def test_the_virtual_size_is_the_guests(http: httpx.AsyncClient) -> None:
    id = (await create(http, disk_format="qcow2"))["id"]
    assert (await upload(http, id, QCOW2)).status_code == 204
    assert (await http.get(f"images/{id}")).json()["virtual_size"] == 1 << 30


class TestWithoutEnforcement:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"image_format_enforcement": False}

    @pytest.mark.parametrize("data", [b"bogus", BACKED])
    async def test_any_bytes_are_taken(self, http: httpx.AsyncClient, data: bytes) -> None:
        id = (await create(http, disk_format="qcow2"))["id"]
        assert (await upload(http, id, data)).status_code == 204
        assert (await http.get(f"images/{id}")).json()["virtual_size"] is None


class TestQuota:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"image_count_total": 2, "image_size_total": 3, "image_stage_total": 1, "image_size_cap": 5 << 20}

    async def test_uploads_side_by_side(self, http: httpx.AsyncClient) -> None:
        """Each of the two would fit, both do not."""
        images = [(await create(http))["id"] for _ in range(2)]
        waiting = asyncio.Barrier(2)

        async def body():
            yield bytes(1 << 20)
            await waiting.wait()  # both have been let in
            yield bytes(1 << 20)

        uploads = [http.put(f"images/{id}/file", content=body(), headers=BINARY) for id in images]
        answers = await asyncio.gather(*uploads)

        assert sorted(answer.status_code for answer in answers) == [204, 403]
        refused = images[[answer.status_code for answer in answers].index(403)]
        assert (await http.get(f"images/{refused}")).json()["status"] == "queued"

    async def test_images_and_bytes(self, http: httpx.AsyncClient, other: httpx.AsyncClient, data_files) -> None:
        first, second = (await create(http))["id"], (await create(http))["id"]
        answer = await http.post("images", json={})
        assert answer.status_code == 403
        assert "image_count_total" in answer.json()["message"]
        assert (await upload(http, first, bytes(2 << 20))).status_code == 204
        assert (await upload(http, second, bytes(2 << 20))).status_code == 403

        async def undeclared():
            for _ in range(20):
                yield bytes(100_000)

        answer = await http.put(f"images/{second}/file", content=undeclared(), headers=BINARY)
        assert answer.status_code == 413
        assert (await http.get(f"images/{second}")).json()["status"] == "queued"
        assert len(data_files()) == 1
        assert (await http.put(f"images/{second}/stage", content=bytes(2 << 20), headers=BINARY)).status_code == 403
        assert (await upload(other, (await create(other))["id"], bytes(3 << 20))).status_code == 204


async def test_deleting_takes_the_bytes(cloud: Runtime, http: httpx.AsyncClient, data_files) -> None:
    id = (await create(http))["id"]
    await upload(http, id)
    assert len(data_files()) == 1
    assert (await http.delete(f"images/{id}")).status_code == 204
    await blobs_of(cloud).clean_once()
    assert data_files() == []


async def test_an_image_deleted_during_its_upload(cloud: Runtime, http: httpx.AsyncClient, data_files) -> None:
    id = (await create(http))["id"]

    async def chunks():
        yield b"first"
        assert (await http.get(f"images/{id}")).json()["status"] == "saving"
        assert (await upload(http, id)).status_code == 409
        assert (await http.delete(f"images/{id}")).status_code == 204
        yield b"second"

    assert (await http.put(f"images/{id}/file", content=chunks(), headers=BINARY)).status_code == 410
    await blobs_of(cloud).clean_once()
    assert data_files() == []


async def test_a_client_that_leaves_leaves_a_queued_image(cloud: Runtime, http: httpx.AsyncClient, data_files) -> None:
    id = (await create(http))["id"]
    messages = [{"type": "http.request", "body": bytes(3_000_000), "more_body": True}, {"type": "http.disconnect"}]
    headers = [(b"x-auth-token", b"p1/u1/member"), (b"content-type", b"application/octet-stream")]
    path = f"/image/v2/images/{id}/file"
    scope = {"type": "http", "method": "PUT", "path": path, "headers": headers, "query_string": b""}

    async def receive() -> dict:
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        raise AssertionError(f"nobody is there to receive {message}")

    await cloud.app(scope, receive, send)
    assert (await http.get(f"images/{id}")).json()["status"] == "queued"
    assert data_files() == []


async def test_a_full_disk(cloud: Runtime, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs_of(cloud), "driver", FakeDriver(capacity_bytes=3))
    id = (await create(http))["id"]
    answer = await upload(http, id)
    assert answer.status_code == 507
    assert "free space" in answer.json()["message"]
    assert (await http.get(f"images/{id}")).json()["status"] == "queued"


async def test_stage_and_import(http: httpx.AsyncClient, admin: httpx.AsyncClient, data_files) -> None:
    id = (await create(http))["id"]
    direct = {"method": {"name": "glance-direct"}}
    assert (await http.post(f"images/{id}/import", json=direct)).status_code == 409
    assert (await http.put(f"images/{id}/stage", content=b"data", headers=BINARY)).status_code == 204
    assert (await http.get(f"images/{id}")).json()["status"] == "uploading"
    assert (await http.put(f"images/{id}/stage", content=b"data", headers=BINARY)).status_code == 409
    assert (await http.post(f"images/{id}/import", json=direct)).status_code == 202
    image = (await http.get(f"images/{id}")).json()
    assert (image["status"], image["size"]) == ("active", 4)
    assert image["checksum"] == hashlib.md5(b"data").hexdigest()
    assert (await http.get(f"images/{id}/file")).content == b"data"
    [task] = (await http.get(f"images/{id}/tasks")).json()["tasks"]
    assert (task["status"], task["type"]) == ("success", "api_image_import")
    assert (await admin.get(f"tasks/{task['id']}")).json() == task
    assert (await admin.get("tasks")).json()["tasks"] == [task]
    assert (await http.get("tasks")).status_code == 403
    assert (await http.get(f"tasks/{task['id']}")).status_code == 403
    assert len(data_files()) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"method": {}}, 400),
        ({"method": {"name": "magic"}}, 400),
        ({"method": {"name": "web-download"}}, 400),
        ({"method": {"name": "web-download", "uri": "ftp://example.com/x"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://example.com:22/x"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://example.com:x/x"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://example.com:0/x"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://" + "a" * 70 + ".com/x"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://a..b/x"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://[::1/x"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://example.com/\u00e9"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://example.com/a b"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://example.com/\r\nX: y"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://user:word@example.com/x"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://example.com/" + "x" * 2048}}, 400),
        ({"method": {"name": "web-download", "uri": "http:///x"}}, 400),
        ({"method": {"name": "glance-direct"}, "stores": ["none"]}, 400),
        ({"method": {"name": "glance-direct"}}, 409),
    ],
)
async def test_bad_imports(http: httpx.AsyncClient, body: dict, status: int) -> None:
    id = (await create(http))["id"]
    assert (await http.post(f"images/{id}/import", json=body)).status_code == status
    assert (await http.get(f"images/{id}")).json()["status"] == "queued"
    assert (await http.get(f"images/{id}/tasks")).json()["tasks"] == []


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/image")
            self.end_headers()
        elif self.path == "/image":
            self.send_response(200)
            self.send_header("Content-Length", "3000000")
            self.end_headers()
            self.wfile.write(b"w" * 3_000_000)
        elif self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
        elif self.path == "/dribble":
            self.send_response(200)
            self.send_header("Content-Length", "3000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(400):
                    self.wfile.write(b"w")
                    self.wfile.flush()
                    time.sleep(0.02)
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "3000000")
            self.end_headers()
            self.wfile.write(b"w")
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def web_server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def web(web_server: ThreadingHTTPServer) -> int:
    return web_server.server_port


class TestWebDownload:
    @pytest.fixture
    def settings(self, web: int) -> dict[str, Any]:
        return {"web_download_ports": [web], "web_download_private": True}

    async def fetch(self, http: httpx.AsyncClient, uri: str) -> tuple[dict, dict]:
        id = (await create(http))["id"]
        answer = await http.post(f"images/{id}/import", json={"method": {"name": "web-download", "uri": uri}})
        assert answer.status_code == 202
        task: dict[str, Any] = {}
        for _ in range(200):
            [task] = (await http.get(f"images/{id}/tasks")).json()["tasks"]
            if task["status"] in ("success", "failure"):
                break
            await asyncio.sleep(0.02)
        return task, (await http.get(f"images/{id}")).json()

    async def test_it_arrives(self, http: httpx.AsyncClient, web: int) -> None:
        task, image = await self.fetch(http, f"http://127.0.0.1:{web}/moved")
        assert (task["status"], image["status"], image["size"]) == ("success", "active", 3_000_000)

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("none", "404"),
            ("short", "broke off"),
            ("to/http://" + "a" * 70 + ".com/x", "cannot be read"),
            ("to/http://[::1/x", "no URI"),
            ("to/ftp://127.0.0.1/x", "must be http or https"),
            ("to/http://127.0.0.1:1/x", "names port 1"),
            ("to//to//to//to//to//to//to//image", "redirected more than"),
        ],
    )
    async def test_failures_are_told(
        self, http: httpx.AsyncClient, web: int, path: str, words: str, data_files
    ) -> None:
        task, image = await self.fetch(http, f"http://127.0.0.1:{web}/{path}")
        assert (task["status"], image["status"]) == ("failure", "queued")
        assert words in task["message"]
        assert image["os_glance_failed_import"] == "object_store"
        assert data_files() == []
        patch = [{"op": "add", "path": "/colour", "value": "red"}]
        changed = (await http.patch(f"images/{image['id']}", json=patch, headers=PATCH)).json()
        assert (changed["colour"], changed["os_glance_failed_import"]) == ("red", "object_store")


class TestWebDownloadOfInsides(TestWebDownload):
    @pytest.fixture
    def settings(self, web: int) -> dict[str, Any]:
        return {"web_download_ports": [web]}

    async def test_it_arrives(self, http: httpx.AsyncClient, web: int) -> None:
        task, image = await self.fetch(http, f"http://127.0.0.1:{web}/image")
        assert (task["status"], image["status"]) == ("failure", "queued")
        assert "no public address" in task["message"]

    test_failures_are_told = None  # type: ignore[assignment]


async def test_a_server_with_a_certificate_is_believed_by_name(web_server, tmp_path: Path, monkeypatch) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "both.pem").write_bytes(private + certificate.public_bytes(Encoding.PEM))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "both.pem")
    web_server.socket = serving.wrap_socket(web_server.socket, server_side=True)
    trusting = ssl.create_default_context(cadata=certificate.public_bytes(Encoding.PEM).decode())
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
    source = WebSource(frozenset({web_server.server_port}), private=True, total_s=30.0)

    async def fetch(host: str) -> int:
        uri = f"https://{host}:{web_server.server_port}/image"
        return len(b"".join([block async for block in source.chunks(uri)]))

    assert await fetch("localhost") == 3_000_000
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await fetch("127.0.0.1")


async def test_a_server_that_dribbles_does_not_hold_an_import_for_ever(web: int) -> None:
    source = WebSource(frozenset({web}), private=True, total_s=0.3)
    started = time.monotonic()
    with pytest.raises(Unavailable, match="time limit of a web-download"):
        async for _ in source.chunks(f"http://127.0.0.1:{web}/dribble"):
            pass
    assert time.monotonic() - started < 5


async def test_an_import_that_meets_a_defect_of_ours_ends(http: httpx.AsyncClient, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(addresses, "resolve", broken)
    id = (await create(http))["id"]
    body = {"method": {"name": "web-download", "uri": "http://example.com/x"}}
    assert (await http.post(f"images/{id}/import", json=body)).status_code == 202
    for _ in range(200):
        [task] = (await http.get(f"images/{id}/tasks")).json()["tasks"]
        if task["status"] == "failure":
            break
        await asyncio.sleep(0.02)
    assert "RuntimeError" in task["message"]
    assert "planted" not in task["message"]
    assert (await http.get(f"images/{id}")).json()["status"] == "queued"


class TestNothingInsideIsConnectedTo:
    """A listener on loopback that must hear nothing, whatever leads to it."""

    @pytest.fixture
    def heard(self) -> Iterator[list[object]]:
        heard: list[object] = []
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        yield heard
        with contextlib.suppress(BlockingIOError):
            heard.append(listener.accept())
        listener.close()
        assert heard == []

    @pytest.mark.parametrize(
        "answers",
        [
            ["127.0.0.1"],
            ["93.184.216.34", "127.0.0.1"],
            ["::ffff:127.0.0.1"],
            ["64:ff9b::7f00:1"],
            ["2002:7f00:1::"],
            ["169.254.169.254"],
            ["224.0.0.1"],
            ["0.0.0.0"],
            ["fd00::1"],
        ],
    )
    async def test_a_name_is_judged_by_all_its_addresses(self, heard, monkeypatch, answers: list[str]) -> None:
        asked: list[str] = []

        def resolver(host: str, port: int, **_: object) -> list[tuple]:
            asked.append(host)
            return [(0, 0, 0, "", (address, port)) for address in answers]

        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        source = WebSource(frozenset({self.port}), private=False, total_s=5.0)
        with pytest.raises(Invalid, match="no public address"):
            async for _ in source.chunks(f"http://image.example:{self.port}/x"):
                pass
        assert asked == ["image.example"]

    async def test_the_connection_goes_to_the_address_that_was_judged(self, heard, monkeypatch) -> None:
        """A name that is public when it is asked for and the cloud's own when it is asked for again."""
        answers = iter(["93.184.216.34", "127.0.0.1"])
        dialled: list[tuple[str, int]] = []

        def dial(address: tuple[str, int], **_: object) -> None:
            dialled.append(address)
            raise OSError("not in a test")

        monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", (next(answers), port))])
        monkeypatch.setattr(socket, "create_connection", dial)
        source = WebSource(frozenset({self.port}), private=False, total_s=5.0)
        with pytest.raises(Unavailable, match="cannot be reached"):
            async for _ in source.chunks(f"http://image.example:{self.port}/x"):
                pass
        assert dialled == [("93.184.216.34", self.port)]


async def test_what_other_services_use(cloud: Runtime, http: httpx.AsyncClient, tmp_path: Path) -> None:
    ctx = cloud.internal(project_id="p1")

    async def chunks():
        yield b"from "
        yield b"compute"

    image = await public.create_image_from_stream(cloud, ctx, chunks(), name="snap", disk_format="raw")
    assert (image.is_active, image.size, image.project_id) == (True, 12, "p1")
    assert (await http.get(f"images/{image.id}/file")).content == b"from compute"
    path = await public.data_path(cloud, image.id)
    assert path is not None
    (tmp_path / "cache").hardlink_to(path)
    sending = await public.stream(cloud, image.id, 5)
    assert b"".join([chunk async for chunk in sending]) == b"compute"
    await sending.aclose()
    url = await cloud.db.read(public.download_url, image.id)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cloud.app), base_url="http://cloud.test") as host:
        assert (await host.get(url)).content == b"from compute"
        assert (await host.get(url.replace(image.id, "x"))).status_code == 401
    assert (await cloud.db.read(public.find_images, [image.id, "none"])).keys() == {image.id}
    await cloud.db.write(public.delete_image, ctx, cloud, image.id)
    await blobs_of(cloud).clean_once()
    assert await public.data_path(cloud, image.id) is None
    assert (tmp_path / "cache").read_bytes() == b"from compute"


async def test_a_failing_stream_makes_no_image(cloud: Runtime, http: httpx.AsyncClient, data_files) -> None:
    async def chunks():
        yield b"some"
        raise ConnectionError("the guest's disk went away")

    with pytest.raises(ConnectionError):
        await public.create_image_from_stream(
            cloud, cloud.internal(project_id="p1"), chunks(), name="snap", disk_format="raw"
        )
    assert (await http.get("images")).json()["images"] == []
    assert data_files() == []
