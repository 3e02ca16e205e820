"""A fake cloud of its own process that serves by TLS: clients as they are, browsers, consoles, new certificates."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets

from pileus.cli import certificates
from pileus.cli.openrc import exports
from pileus.cli.settings import reached
from pileus.cli.state import State
from pileus.kernel.config import CloudSettings
from tests.sim.test_command_line import free_port, pileus

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    state = State(tmp_path_factory.mktemp("tls") / "cloud")
    pileus("up", "--fake", "--tls", "--port", str(free_port()), "--state", str(state.path))
    yield state
    pileus("down", "--purge", "--state", str(state.path))


def browser(state: State) -> httpx.Client:
    """Return a client that trusts this machine's CAs by none but the cloud's own."""
    way = reached(state, state.load())
    assert way.ca is not None
    return httpx.Client(base_url=way.url, verify=ssl.create_default_context(cafile=str(way.ca)), timeout=30)


def openstack(state: State, *words: str, **other: str) -> "subprocess.CompletedProcess[str]":
    given = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    given |= {**exports(state.load(), state, "demo"), **other}
    program = Path(sys.executable).parent / "openstack"
    return subprocess.run([program, *words], env=given, capture_output=True, text=True, check=False, timeout=120)


def test_the_unmodified_client_works_with_what_openrc_says_and_finds_only_https(cloud: State) -> None:
    done = openstack(cloud, "server", "create", "--image", "pileus-mini", "--flavor", "pileus.mini")
    assert done.returncode != 0  # no name: the client itself refuses, which shows that it is the real one
    create = ("--image", "pileus-mini", "--flavor", "pileus.mini", "--network", "private", "--wait", "one")
    done = openstack(cloud, "server", "create", *create, "-f", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "ACTIVE"
    catalog = json.loads(openstack(cloud, "catalog", "list", "-f", "json").stdout)
    urls = [endpoint["url"] for service in catalog for endpoint in service["Endpoints"]]
    assert len(urls) > 10
    assert {url.partition("://")[0] for url in urls} == {"https"}


def test_a_client_that_does_not_know_the_ca_says_nothing_secret(cloud: State) -> None:
    done = openstack(cloud, "token", "issue", OS_CACERT="/etc/ssl/certs/ca-certificates.crt")
    assert done.returncode != 0
    assert "SSL" in done.stderr


def test_plain_http_is_not_answered(cloud: State) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{cloud.load().port}/healthz")


def test_clouds_yaml_and_status_say_https_and_name_the_ca(cloud: State) -> None:
    said = pileus("openrc", "--clouds-yaml", "--state", str(cloud.path))
    assert f'cacert: "{cloud.path}/certificates/ca.pem"' in said
    assert f'auth_url: "https://127.0.0.1:{cloud.load().port}/identity/v3"' in said
    assert json.loads(pileus("status", "--json", "--state", str(cloud.path)))["url"].startswith("https://")


def test_the_dashboard_marks_its_cookie_as_secure(cloud: State) -> None:
    user = cloud.credentials()["demo"]
    with browser(cloud) as client:
        page = client.get("/dashboard/login")
        assert page.status_code == 200
        answer = client.post("/dashboard/login", data={"user": user["user"], "password": user["password"]})
        assert answer.status_code == 303
        assert "; Secure" in answer.headers["set-cookie"]
        assert client.get("/dashboard/overview").status_code == 200


def test_a_console_is_reached_by_wss(cloud: State) -> None:
    shown = openstack(cloud, "console", "url", "show", "one", "-f", "json")
    address = json.loads(shown.stdout)["url"]
    assert address.startswith("https://")
    way = reached(cloud, cloud.load())
    path = httpx.URL(address).params["path"]
    trusting = ssl.create_default_context(cafile=str(way.ca))

    async def knock(path: str) -> int:
        try:
            async with websockets.connect(f"{way.url.replace('https', 'wss')}/{path}", ssl=trusting):
                return 101
        except websockets.InvalidStatus as refused:
            return refused.response.status_code

    # A fake guest has no screen: whoever has the right to it is told so, whoever has not is told nothing.
    assert asyncio.run(knock(path)) == 503
    assert asyncio.run(knock(f"{path}x")) == 403


def test_the_certificate_is_made_anew_for_a_new_name_and_taken_up_while_serving(cloud: State) -> None:
    served = ssl.get_server_certificate(("127.0.0.1", cloud.load().port))
    ca = (cloud.path / "certificates" / "ca.pem").read_bytes()
    pid = cloud.pid("server")
    certificates.ensure(cloud.path / "certificates", CloudSettings(tls_names=("cloud.example",)))
    assert pid
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + 10
    while ssl.get_server_certificate(("127.0.0.1", cloud.load().port)) == served:
        assert time.monotonic() < deadline, "the old certificate is still served"
        time.sleep(0.05)
    assert (cloud.path / "certificates" / "ca.pem").read_bytes() == ca, "clients trust the CA: it stays"
    assert cloud.pid("server") == pid
    with browser(cloud) as client:
        assert client.get("/healthz").status_code == 200


def test_clients_that_never_finish_the_handshake_keep_nobody_out(cloud: State) -> None:
    idle = [socket.create_connection(("127.0.0.1", cloud.load().port)) for _ in range(200)]
    try:
        with browser(cloud) as client:
            assert client.get("/healthz").status_code == 200
    finally:
        for one in idle:
            one.close()
