"""The command line with a fake cloud of its own process: what people type, paste, lose and do twice."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.cli.contents import is_made
from pileus.cli.state import State
from tests.fresh.words import blocks, printed

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(300)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def begin(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pileus.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def pileus(*words: str, code: int = 0) -> str:
    process = begin(*words)
    said = process.communicate()[0]
    assert process.returncode == code, said
    return said


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """A fake cloud that was begun by two commands at once, in a directory that held only settings."""
    state = State(tmp_path_factory.mktemp("cli") / "cloud")
    state.path.mkdir()
    (state.path / "pileus.toml").write_text('[cloud]\nlog_level = "warning"\n')
    words = ["up", "--fake", "--port", str(free_port()), "--state", str(state.path)]
    both = [begin(*words), begin(*words)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("starting the APIs" in text for text in said) == 1, said
    yield state
    if state.exists():
        pileus("down", "--purge", "--state", str(state.path))


def test_what_a_running_cloud_cannot_be_is_refused_and_changes_nothing(cloud: State) -> None:
    before = cloud.cloud_file.read_text()
    said = pileus("up", "--fake", "--port", str(free_port()), "--state", str(cloud.path), code=1)
    assert f"runs already, with port {cloud.load().port}; nothing was changed" in said
    assert cloud.cloud_file.read_text() == before
    assert "running" in pileus("status", "--state", str(cloud.path))


def test_a_second_server_is_refused_and_a_lost_run_folder_hides_none(cloud: State) -> None:
    shutil.move(cloud.path / "run", cloud.path.parent / "run")
    try:
        assert f"process {cloud.pid('server')}" in pileus("server", "--state", str(cloud.path), code=1)
        assert "runs already" in pileus("server", "--state", str(cloud.path), code=1)
        assert "running" in pileus("status", "--state", str(cloud.path))
    finally:
        shutil.move(cloud.path.parent / "run", cloud.path / "run")


def test_a_taken_port_is_named_and_leaves_no_cloud(cloud: State, tmp_path: Path) -> None:
    port = str(cloud.load().port)
    said = pileus("up", "--fake", "--port", port, "--state", str(tmp_path / "other"), code=1)
    assert f"Port {port} on 127.0.0.1 is taken by another program" in said
    assert not (tmp_path / "other").exists()


def test_a_first_start_that_fails_leaves_its_log_alone_and_the_next_succeeds(tmp_path: Path) -> None:
    state = State(tmp_path / "cloud")
    state.path.mkdir()
    (state.path / "pileus.toml").write_text("[identity]\nno_such_setting = 1\n")
    words = ["up", "--fake", "--port", str(free_port()), "--state", str(state.path)]
    said = pileus(*words, code=1)
    assert "no_such_setting" in said
    assert sorted(path.name for path in state.path.iterdir()) == ["logs", "pileus.toml"]
    assert "There is no cloud" in pileus("status", "--state", str(state.path), code=1)
    (state.path / "pileus.toml").unlink()
    pileus(*words)
    pileus("down", "--state", str(state.path))
    before = state.cloud_file.read_text()
    (state.path / "pileus.toml").write_text("[identity]\nno_such_setting = 1\n")
    assert "no_such_setting" in pileus("up", "--port", str(free_port()), "--state", str(state.path), code=1)
    assert state.cloud_file.read_text() == before, "a start that failed changed the port"
    pileus("down", "--purge", "--state", str(state.path))
    assert [path.name for path in state.path.iterdir()] == ["pileus.toml"]


def test_openrc_and_operations_speak_json(cloud: State) -> None:
    variables = json.loads(pileus("openrc", "--json", "--project", "demo", "--state", str(cloud.path)))
    assert variables["OS_PROJECT_NAME"] == "demo"
    listed = json.loads(pileus("operations", "--all", "--json", "--state", str(cloud.path)))
    assert isinstance(listed, list)
    for row in listed:
        shown = json.loads(pileus("operations", "show", row["id"], "--json", "--state", str(cloud.path)))
        assert shown["kind"] == row["kind"]
        assert {"name", "state", "started_at"} <= shown["steps"][0].keys()
        break


def test_a_killed_server_is_found_dead_and_started_again_at_once(cloud: State) -> None:
    pid = cloud.pid("server")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    pileus("up", "--fake", "--state", str(cloud.path))
    assert cloud.pid("server") not in (None, pid)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python environment of the tests as the script of a checkout would have made it."""
    venv = tmp_path / "venv"
    venv.mkdir()
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith(".pileus"):
            (venv / path.name).symlink_to(path)
    shutil.copy(ROOT / "uv.lock", venv / ".pileus-lock")
    (venv / ".pileus-groups").write_text("clients\ndev\nfuzz\n")
    return venv


@pytest.mark.skipif(not (Path(sys.executable).parent / "openstack").exists(), reason="the client is not installed")
def test_the_readme_and_what_is_printed_work_in_a_new_shell(tmp_path: Path, environment: Path) -> None:
    """The block for fake clouds, and then each line that it prints; the demo's: ``python -m tests.fresh``."""
    block = next(one for one in blocks((ROOT / "README.md").read_text()) if "up --fake" in one)
    assert "openstack server list" in block
    block = block.replace("up --fake", f"up --fake --port {free_port()}")
    own = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PILEUS_VENV": str(environment)}

    def shell(script: str, folder: Path) -> str:
        words = ["bash", "-ec", script]
        given = {**own, "PILEUS_STATE": str(tmp_path / "cloud")}
        done = subprocess.run(words, cwd=folder, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    try:
        output = shell(block, ROOT)
        lines = printed(output)
        assert lines.keys() == {"clients", "stop"}
        assert str(ROOT / "pileus") in lines["clients"]
        assert "ID" in shell(f"cd /\n{lines['clients']} -f csv\npileus status", tmp_path)
        shell(lines["stop"], tmp_path)
        assert "stopped" in pileus("status", "--state", str(tmp_path / "cloud"), code=3)
    finally:
        pileus("down", "--purge", "--state", str(tmp_path / "cloud"))


def test_all_that_a_cloud_makes_is_known_to_the_purge(cloud: State) -> None:
    assert [path.name for path in cloud.path.iterdir() if not is_made(path.name)] == ["pileus.toml"]
    said = pileus("down", "--purge", "--state", str(cloud.path))
    assert "Left in" in said
    assert [path.name for path in cloud.path.iterdir()] == ["pileus.toml"]
