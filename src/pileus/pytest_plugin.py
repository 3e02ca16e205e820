"""The pytest plugin: a fake OpenStack cloud for tests of other people's software.

Rule: importing it costs nothing but pytest and the standard library; a cloud starts, in a process of its own, when
the first test asks for one.  It is explained in docs/testing-against-pileus.md.
"""

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pileus.fake.client import FakeClient

PATIENCE_S = 600
"""How long a cloud may take to start or to be removed; ``pileus up`` itself says sooner what keeps it."""
TRIES = 5
"""Ports that are tried: one that was free may be taken before the cloud listens there."""
SETTINGS = """\
[cloud]
log_level = "warning"

[identity]
password_hash_rounds = 4
log_ins = { enabled = false }
"""
"""Passwords that live as long as a test need no dear hashes, and tests log in more often than people."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fake cloud, each also a setting of the ini-file."""
    group = parser.getgroup("pileus", "a fake OpenStack cloud")
    group.addoption("--pileus-seed", metavar="FILE", help="a TOML file of what the cloud holds from the start")
    group.addoption("--pileus-hosts", type=int, metavar="N", help="how many fake hosts it has (default 1)")
    parser.addini("pileus_seed", "a TOML file of what the cloud holds from the start", type="paths")
    parser.addini("pileus_hosts", "how many fake hosts it has", default="1")


class Login:
    """Who acts in which project: a user, and all the forms in which clients want to be told of it."""

    def __init__(self, cloud: "PileusCloud", user: str, password: str, project: str) -> None:
        self.cloud = cloud
        self.user = user
        self.password = password
        self.project = project

    @property
    def auth(self) -> dict[str, str]:
        """The section ``auth`` of clouds.yaml, and what ``openstack.connect(auth=...)`` takes."""
        return {
            "auth_url": self.cloud.auth_url,
            "username": self.user,
            "password": self.password,
            "project_name": self.project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }

    @property
    def environment(self) -> dict[str, str]:
        """The variables ``OS_...`` for programs that read them."""
        named = {f"OS_{name.upper()}": value for name, value in self.auth.items()}
        return {**named, "OS_IDENTITY_API_VERSION": "3", "OS_REGION_NAME": "RegionOne"}

    def connect(self, **options: Any) -> Any:
        """Return an openstacksdk connection; the package must be installed."""
        try:
            import openstack
        except ImportError as error:
            raise pytest.UsageError("A connection needs openstacksdk: pip install openstacksdk.") from error
        return openstack.connect(
            auth=self.auth, region_name="RegionOne", load_yaml_config=False, load_envvars=False, **options
        )

    def token(self) -> str:
        """Return a new token."""
        proof = {"user": {"name": self.user, "password": self.password, "domain": {"id": "default"}}}
        scope = {"project": {"name": self.project, "domain": {"id": "default"}}}
        auth = {"identity": {"methods": ["password"], "password": proof}, "scope": scope}
        return self.cloud.exchange("POST", "/identity/v3/auth/tokens", {"auth": auth}, {})[1]["x-subject-token"]


class Project(Login):
    """A project of a test's own, with a user of its own who is a member of it."""

    def __init__(self, cloud: "PileusCloud", name: str) -> None:
        super().__init__(cloud, name, secrets.token_urlsafe(12), name)
        token = {"X-Auth-Token": cloud.login("admin").token()}

        def make(method: str, path: str, body: Any = None) -> Any:
            return cloud.call(method, f"/identity/v3{path}", body, token)

        self.id: str = make("POST", "/projects", {"project": {"name": name, "domain_id": "default"}})["project"]["id"]
        user = {"name": name, "password": self.password, "domain_id": "default"}
        self.user_id: str = make("POST", "/users", {"user": user})["user"]["id"]
        role = make("GET", "/roles?name=member")["roles"][0]["id"]
        make("PUT", f"/projects/{self.id}/users/{self.user_id}/roles/{role}")


class PileusCloud(FakeClient):
    """The fake cloud of a test session: its address, who may log in, and all that can be done to it."""

    def __init__(self, url: str, state: Path) -> None:
        super().__init__(url, key=(state / "run" / "fake.key").read_text().strip())
        self.state = state
        self.auth_url = f"{url}/identity/v3"

    def login(self, project: str = "admin") -> Login:
        """Return a user of a project that was there from the start: admin, demo, or one of the seed."""
        users = json.loads((self.state / "credentials.json").read_text())
        found = next((user for user in users.values() if user["project"] == project), None)
        if found is None:
            known = ", ".join(sorted({user["project"] for user in users.values()}))
            raise LookupError(f"nobody's password is known for project {project}; projects with a user: {known}")
        return Login(self, found["user"], found["password"], project)

    def new_project(self, name: str | None = None) -> Project:
        """Make a project with a user who is a member of it; both have the same name."""
        return Project(self, name or f"test-{secrets.token_hex(4)}")


def _pileus(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pileus.cli.main", *words]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def stopped(cloud: PileusCloud) -> None:
    """Stop a cloud and remove all of it."""
    ran = _pileus("down", "--purge", "--state", str(cloud.state))
    if ran.returncode != 0:
        raise RuntimeError(f"the fake cloud could not be removed:\n{ran.stderr}{ran.stdout}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _seed(config: pytest.Config) -> Path | None:
    given = config.getoption("--pileus-seed")
    if given is not None:
        return Path(given).absolute()
    paths: list[Path] = config.getini("pileus_seed")
    return paths[0] if paths else None


def started(state: Path, words: Sequence[str] = ()) -> PileusCloud:
    """Start a fake cloud in a new directory, on a free port, with more words for ``pileus up``."""
    said = ""
    for _ in range(TRIES):
        port = _free_port()
        state.mkdir(parents=True, exist_ok=True)
        (state / "pileus.toml").write_text(SETTINGS)
        ran = _pileus("up", "--fake", "--port", str(port), "--state", str(state), *words)
        if ran.returncode == 0:
            return PileusCloud(f"http://127.0.0.1:{port}", state)
        said = ran.stderr + ran.stdout
        if "is taken by another program" not in said:
            break
    raise RuntimeError(f"the fake cloud did not start:\n{said}")


@pytest.fixture(scope="session")
def pileus_cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PileusCloud]:
    """A fake cloud on a free port, for the whole session; with pytest-xdist one for each worker."""
    config = request.config
    hosts = config.getoption("--pileus-hosts") or int(config.getini("pileus_hosts"))
    words = ["--fake-hosts", str(hosts)]
    if (seed := _seed(config)) is not None:
        words += ["--seed", str(seed)]
    state = tmp_path_factory.mktemp("pileus") / "cloud"
    cloud = started(state, words)
    yield cloud
    stopped(cloud)


@pytest.fixture
def pileus_reset(pileus_cloud: PileusCloud) -> PileusCloud:
    """The cloud, put back to just after its start before this test."""
    pileus_cloud.reset()
    return pileus_cloud


@pytest.fixture
def pileus_faults(request: pytest.FixtureRequest, pileus_cloud: PileusCloud) -> Iterator[PileusCloud]:
    """The cloud, for tests that break things in it: whatever they order is cleared when they end."""
    _reset_first(request)
    yield pileus_cloud
    pileus_cloud.clear()


@pytest.fixture
def pileus_project(request: pytest.FixtureRequest, pileus_cloud: PileusCloud) -> Project:
    """A new project with a user of its own, which no other test sees."""
    _reset_first(request)
    return pileus_cloud.new_project()


def _reset_first(request: pytest.FixtureRequest) -> None:
    if "pileus_reset" in request.fixturenames:
        request.getfixturevalue("pileus_reset")


@pytest.fixture
def openstack_connection(pileus_project: Project) -> Iterator[Any]:
    """An openstacksdk connection as the user of the test's own project."""
    connection = pileus_project.connect()
    yield connection
    connection.close()


@pytest.fixture
def clouds_yaml(
    pileus_cloud: PileusCloud, pileus_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A clouds.yaml with ``pileus`` (the test's own project) and ``pileus-admin``.

    Programs that the test starts find it: OS_CLIENT_CONFIG_FILE and OS_CLOUD are set while the test runs.
    """
    clouds = {
        name: {"region_name": "RegionOne", "identity_api_version": 3, "auth": login.auth}
        for name, login in (("pileus", pileus_project), ("pileus-admin", pileus_cloud.login("admin")))
    }
    path = tmp_path / "clouds.yaml"
    path.write_text(json.dumps({"clouds": clouds}, indent=2))  # JSON is YAML
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    monkeypatch.setenv("OS_CLOUD", "pileus")
    return path
