"""``pileus up --foreground`` as a container's first process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pileus.cli.state import State
from tests.sim.test_command_line import begin, free_port, pileus

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stays(tmp_path: Path):
    state = State(tmp_path / "cloud")
    process = begin("up", "--fake", "--foreground", "--port", str(free_port()), "--state", str(state.path))
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("  stop"):
            break
    yield state, process
    process.kill()
    process.communicate()
    pileus("down", "--purge", "--state", str(state.path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_logs_and_a_signal_stops_the_cloud(stays: tuple[State, "subprocess.Popen[str]"], number: int) -> None:
    state, process = stays
    assert process.poll() is None
    pileus("openrc", "--state", str(state.path))
    subprocess.run([sys.executable, "-c", f"import urllib.request as r; r.urlopen({asked(state)!r})"], check=True)
    time.sleep(0.5)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said
    assert "GET /identity/v3" in said
    assert state.pid("server") is None


def test_a_server_that_dies_ends_it_with_a_sentence(stays: tuple[State, "subprocess.Popen[str]"]) -> None:
    state, process = stays
    os.kill(state.pid("server") or 0, signal.SIGKILL)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "The server ended." in said


def test_a_signal_while_it_starts_leaves_nothing_running(tmp_path: Path) -> None:
    state = State(tmp_path / "cloud")
    process = begin("up", "--fake", "--foreground", "--port", str(free_port()), "--state", str(state.path))
    while state.pid("server") is None and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said
    assert state.pid("server") is None


def test_one_that_is_refused_leaves_the_cloud_that_runs_alone(
    stays: tuple[State, "subprocess.Popen[str]"],
) -> None:
    state, process = stays
    port = str(free_port())
    assert "runs already" in pileus("up", "--foreground", "--port", port, "--state", str(state.path), code=1)
    assert state.pid("server") is not None
    assert process.poll() is None


def asked(state: State) -> str:
    return f"http://127.0.0.1:{state.load().port}/identity/v3"
