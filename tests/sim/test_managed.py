"""The server as a service manager starts it: no ``up`` before, settings alone, told when it is ready."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.cli.state import State
from tests.sim.test_command_line import free_port, pileus

pytestmark = pytest.mark.timeout(300)


def server(state: State, told: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pileus.cli.main", "server", "--managed", "--state", str(state.path)]
    given = {**os.environ, "NOTIFY_SOCKET": str(told)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=given)


def test_it_makes_the_cloud_that_its_settings_describe_and_says_when_it_is_ready(tmp_path: Path) -> None:
    state, port = State(tmp_path / "cloud"), free_port()
    state.path.mkdir()
    settings = state.path / "pileus.toml"
    settings.write_text(f"[cloud]\nfake = true\nport = {port}\nfake_hosts = 2\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "told"))
        manager.settimeout(120)
        process = server(state, tmp_path / "told")
        assert manager.recv(100) == b"READY=1"
        shown = json.loads(pileus("status", "--json", "--state", str(state.path)))
        assert (shown["url"], shown["kind"]) == (f"http://127.0.0.1:{port}", "fake")
        assert shown["processes"][0]["pid"] == process.pid
        said = pileus("up", "--port", "1", "--state", str(state.path), code=1)
        assert f"[cloud] port in {settings} is {port}; you asked for 1" in said
        pileus("up", "--state", str(state.path))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM  # a clean end, for systemd too
        assert process.communicate()[0] == "", "what it says goes into its log"
        assert "uvicorn" in state.log("server").read_text()
        # Changed settings count at the next start.
        settings.write_text(f"[cloud]\nfake = true\nport = {port}\nfake_hosts = 2\ntls = true\n")
        process = server(state, tmp_path / "told")
        assert manager.recv(100) == b"READY=1"
        assert "BEGIN CERTIFICATE" in ssl.get_server_certificate(("127.0.0.1", port))
        assert json.loads(pileus("status", "--json", "--state", str(state.path)))["url"].startswith("https://")
        pileus("down", "--state", str(state.path))
        process.communicate()
    pileus("down", "--purge", "--state", str(state.path))


def test_what_it_refuses_goes_to_whoever_started_it(tmp_path: Path) -> None:
    state = State(tmp_path / "cloud")
    state.path.mkdir()
    (state.path / "pileus.toml").write_text("[cloud]\nfake = true\nport = 99999\n")
    process = server(state, tmp_path / "nobody")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert "99999 is not a port" in said
    assert not state.exists()
