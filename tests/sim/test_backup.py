"""Backups of a cloud at work: what was acknowledged before is in them, nothing is half written, restores are whole."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pileus.cli.state import State
from tests.sim.test_killed_cloud import Cloud


class Load(threading.Thread):
    """Users who add projects and objects and remove objects, and remember what was acknowledged."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.http = httpx.Client(base_url=cloud.http.base_url, headers=cloud.http.headers, timeout=30)
        self.box = box_of(cloud)
        self.projects: list[tuple[float, str]] = []
        self.objects: dict[str, tuple[float, bytes]] = {}
        self.removed: set[str] = set()
        self.enough = False

    def run(self) -> None:
        self.http.put(self.box).raise_for_status()
        number = 0
        while not self.enough:
            number += 1
            name = f"thing-{number}"
            made = self.http.post("/identity/v3/projects", json={"project": {"name": name}})
            assert made.status_code == 201, made.text
            self.projects.append((time.monotonic(), made.json()["project"]["id"]))
            data = os.urandom(number * 97 % 40_000)
            self.http.put(f"{self.box}/{name}", content=data).raise_for_status()
            self.objects[name] = (time.monotonic(), data)
            if number % 3 == 0:
                gone = f"thing-{number - 2}"
                self.removed.add(gone)
                self.http.delete(f"{self.box}/{gone}").raise_for_status()


def box_of(cloud: Cloud) -> str:
    """Return a container's path in the account of the admin's project."""
    (project,) = cloud.get("/identity/v3/projects?name=admin", "projects")
    return f"/object-store/v1/AUTH_{project['id']}/box"


def pileus(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pileus.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def make_cloud(state: Path, database: str | None) -> Cloud:
    state.mkdir(parents=True)
    if database:
        (state / "pileus.toml").write_text(f'[cloud]\ndatabase = "{database}"\n')
    cloud = Cloud(state)
    cloud.up()
    cloud.login()
    return cloud


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.slow]),
        pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.slow]),
    ]
)
def databases(request: pytest.FixtureRequest) -> Any:
    """Return two databases of one kind, one to back up and one to restore into; None means SQLite."""
    if request.param == "sqlite":
        return None, None
    module = sys.modules[f"tests.{request.param}"]
    server = request.getfixturevalue(f"{request.param}_server")
    name = f"b{time.time_ns()}"
    return module.create_database(server, f"{name}a"), module.create_database(server, f"{name}b")


@pytest.fixture
def stopping() -> Iterator[list[Cloud]]:
    clouds: list[Cloud] = []
    yield clouds
    for cloud in clouds:
        State(cloud.state).stop("server")


def test_a_backup_under_load_holds_all_that_was_acknowledged(
    tmp_path: Path, databases: tuple[str | None, str | None], stopping: list[Cloud]
) -> None:
    cloud = make_cloud(tmp_path / "cloud", databases[0])
    stopping.append(cloud)
    load = Load(cloud)
    load.start()
    while len(load.objects) < 20:
        time.sleep(0.02)
        assert load.is_alive()
    began = time.monotonic()
    removed_before_end = set(load.removed)
    file = tmp_path / "cloud.backup"
    done = pileus("backup", str(file), "--state", str(cloud.state))
    assert done.returncode == 0, done.stdout + done.stderr
    removed_before_end |= load.removed
    at_the_end = len(load.objects)
    load.enough = True
    load.join()
    assert at_the_end > 20, "nothing was written while the backup was made"

    over = pileus("restore", str(file), "--state", str(cloud.state))
    assert over.returncode == 1
    assert "is running (server)" in over.stderr

    words = ["--database", databases[1]] if databases[1] else []
    done = pileus("restore", str(file), "--state", str(tmp_path / "restored"), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    restored = Cloud(tmp_path / "restored")
    stopping.append(restored)
    restored.up()
    restored.http.headers["X-Auth-Token"] = load.http.headers["X-Auth-Token"]  # keys came along: tokens go on
    projects = {project["id"] for project in restored.get("/identity/v3/projects", "projects")}
    assert {id for when, id in load.projects if when < began} <= projects
    listed = restored.http.get(f"{load.box}?format=json").json()
    names = {entry["name"] for entry in listed}
    assert {name for name, (when, _) in load.objects.items() if when < began} - removed_before_end <= names
    for name in names:
        assert restored.http.get(f"{load.box}/{name}").content == load.objects[name][1]


def test_a_backup_killed_at_any_moment_leaves_no_file(tmp_path: Path, stopping: list[Cloud]) -> None:
    cloud = make_cloud(tmp_path / "cloud", None)
    stopping.append(cloud)
    box = box_of(cloud)
    cloud.http.put(box).raise_for_status()
    for number in range(20):
        cloud.http.put(f"{box}/{number}", content=os.urandom(1 << 20)).raise_for_status()
    folder = tmp_path / "backups"
    folder.mkdir()
    command = [sys.executable, "-m", "pileus.cli.main", "backup", str(folder / "one"), "--state", str(cloud.state)]
    met = 0
    for pause_ms in (0, 5, 15, 30, 60, 90):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not list(folder.iterdir()) and process.poll() is None:
            time.sleep(0.001)
        time.sleep(pause_ms / 1000)
        process.send_signal(signal.SIGKILL)
        met += process.wait() == -signal.SIGKILL
        if (folder / "one").exists():
            assert pileus("restore", str(folder / "one"), "--check").returncode == 0
            (folder / "one").unlink()
    assert met >= 3
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert [path.name for path in folder.iterdir()] == ["one"], "what dead backups left is gone"


def test_a_damaged_backup_is_named_and_changes_nothing(tmp_path: Path, stopping: list[Cloud]) -> None:
    cloud = make_cloud(tmp_path / "cloud", None)
    stopping.append(cloud)
    file = tmp_path / "one"
    assert pileus("backup", str(file), "--state", str(cloud.state)).returncode == 0
    again = pileus("backup", str(file), "--state", str(cloud.state))
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    whole = file.read_bytes()
    at = whole.index(b"SQLite format 3") + 5000
    spoilt = {
        "flipped": (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], "database is not what was written"),
        "short": (whole[: len(whole) // 2], "damaged or no backup|ends early"),
        "other": (b"hello" * 1000, "damaged or no backup"),
    }
    for name, (data, sentence) in spoilt.items():
        (tmp_path / name).write_bytes(data)
        answer = pileus("restore", str(tmp_path / name), "--state", str(tmp_path / "to"))
        assert answer.returncode == 1, name
        assert any(part in answer.stderr for part in sentence.split("|")), answer.stderr
        assert not (tmp_path / "to").exists()


def test_a_restore_killed_at_any_moment_is_begun_anew(tmp_path: Path, stopping: list[Cloud]) -> None:
    cloud = make_cloud(tmp_path / "cloud", None)
    stopping.append(cloud)
    file, target = tmp_path / "one", tmp_path / "to"
    assert pileus("backup", str(file), "--state", str(cloud.state)).returncode == 0
    command = [sys.executable, "-m", "pileus.cli.main", "restore", str(file), "--state", str(target)]
    for pause_ms in (0, 3, 10, 20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (tmp_path / ".to.restoring").exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(pause_ms / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if target.exists():
            break
    if not target.exists():
        assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    restored = Cloud(target)
    stopping.append(restored)
    restored.up()
    restored.login()
