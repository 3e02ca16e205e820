"""The cloud every simulation begins with: projects, users, networks, an image.  Rule: made once, by the public APIs."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.service import Service, find_services
from pileus.kernel.testing.memory import Store
from pileus.kernel.testing.virtual import VirtualClock, VirtualLoop
from pileus.simulation.cloud import Answered, Cloud
from pileus.simulation.plan import Plan
from pileus.simulation.trace import Trace

COMPUTE, VOLUME, NETWORK, IMAGE, IDENTITY = (
    "/compute/v2.1",
    "/volume/v3",
    "/networking/v2.0",
    "/image/v2",
    "/identity/v3",
)
PROJECTS = 4
QUOTAS = {
    "compute": {"instances": 6, "cores": 8, "ram": 2048, "key_pairs": 4, "server_groups": 2},
    "volume": {"volumes": 6, "gigabytes": 12, "snapshots": 4, "backups": 3, "backup_gigabytes": 4},
    "network": {"network": 4, "subnet": 5, "port": 18, "router": 3, "floatingip": 3, "security_group": 4},
}
"""Small, so that users meet the limits; a limit is a few things more than each project starts with."""


class Project(msgspec.Struct):
    """What a user needs to know of a project."""

    id: str
    token: str
    network: str
    subnet: str
    router: str


class Template(msgspec.Struct):
    """A cloud at rest, to begin simulations from."""

    database: bytes
    state: Path
    services: Sequence[Any]
    image: str
    public: str
    projects: list[Project]
    admin_token: str
    ends_at: float
    """The simulated time at which it was kept."""


class _Setup:
    """An administrator who is never refused."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.token = ""

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer: Answered = await self.cloud.call(method, path, body, **{"token": self.token, **more})
        if answer.status >= 400:
            raise AssertionError(f"setting up: {method} {path}: {answer.status} {answer.body}")
        return answer.body


def make_template(store: Store, folder: Path) -> Template:
    """Make the cloud in ``folder`` and in ``store``."""
    services = [service for service in find_services() if service.type != "dashboard"]
    plan = Plan(seed=0, controls=1, hosts=1)
    loop = VirtualLoop(plan.random("loop"))
    before = clock.use(VirtualClock(loop))
    ids.seed(0)
    folder.mkdir(parents=True)
    cloud = Cloud(plan, loop, store, folder, services, Trace(loop.time))
    try:
        return loop.run_until_complete(_make(cloud, store, folder, services))
    finally:
        loop.discard([*cloud.processes, loop.outside])
        loop.close()
        ids.seed(None)
        clock.use(before)


async def _make(cloud: Cloud, store: Store, folder: Path, services: list[Service]) -> Template:
    await cloud.start()
    setup = _Setup(cloud)
    setup.token = await _log_in(cloud, "admin", _password(folder), "admin")
    image = await _image(setup)
    networks = (await setup.ask("GET", f"{NETWORK}/networks", query={"router:external": "true"}))["networks"]
    public = networks[0]["id"]
    projects = [await _project(setup, number, public) for number in range(1, PROJECTS + 1)]
    await asyncio.sleep(300)
    for control in cloud.controls.values():
        await control.runtime.stop()
    for machine in cloud.machines.values():
        cloud.loop.kill(machine.process)
    return Template(store.keep(), folder, services, image, public, projects, setup.token, cloud.loop.time() + 60)


def _password(folder: Path) -> str:
    known = msgspec.json.decode((folder / "credentials.json").read_bytes())
    return known["admin"]["password"]


async def _log_in(cloud: Cloud, user: str, password: str, project: str) -> str:
    proof = {"name": user, "password": password, "domain": {"id": "default"}}
    auth = {
        "identity": {"methods": ["password"], "password": {"user": proof}},
        "scope": {"project": {"name": project, "domain": {"id": "default"}}},
    }
    answer = await cloud.call("POST", f"{IDENTITY}/auth/tokens", {"auth": auth})
    return answer.headers["x-subject-token"]


async def _image(setup: _Setup) -> str:
    body = {"name": "tiny", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    made = await setup.ask("POST", f"{IMAGE}/images", body)
    await setup.ask("PUT", f"{IMAGE}/images/{made['id']}/file", bytes(1024), headers=BYTES)
    return made["id"]


BYTES = {"content-type": "application/octet-stream"}


async def _project(setup: _Setup, number: int, public: str) -> Project:
    name = f"p{number}"
    body = {"project": {"name": name, "domain_id": "default"}}
    project = (await setup.ask("POST", f"{IDENTITY}/projects", body))["project"]["id"]
    person = {"name": name, "domain_id": "default", "password": "secret"}
    user = (await setup.ask("POST", f"{IDENTITY}/users", {"user": person}))["user"]["id"]
    roles = (await setup.ask("GET", f"{IDENTITY}/roles", query={"name": "member"}))["roles"]
    await setup.ask("PUT", f"{IDENTITY}/projects/{project}/users/{user}/roles/{roles[0]['id']}")
    await _limit(setup, project)
    token = await _log_in(setup.cloud, name, "secret", name)
    mine = {"token": token}
    network = (await setup.ask("POST", f"{NETWORK}/networks", {"network": {"name": "net"}}, **mine))["network"]["id"]
    body = {"subnet": {"network_id": network, "ip_version": 4, "cidr": f"10.{number}.0.0/24"}}
    subnet = (await setup.ask("POST", f"{NETWORK}/subnets", body, **mine))["subnet"]["id"]
    body = {"router": {"name": "r", "external_gateway_info": {"network_id": public}}}
    router = (await setup.ask("POST", f"{NETWORK}/routers", body, **mine))["router"]["id"]
    await setup.ask("PUT", f"{NETWORK}/routers/{router}/add_router_interface", {"subnet_id": subnet}, **mine)
    return Project(project, token, network, subnet, router)


async def _limit(setup: _Setup, project: str) -> None:
    await setup.ask("PUT", f"{COMPUTE}/os-quota-sets/{project}", {"quota_set": QUOTAS["compute"]})
    await setup.ask("PUT", f"{VOLUME}/os-quota-sets/{project}", {"quota_set": QUOTAS["volume"]})
    await setup.ask("PUT", f"{NETWORK}/quotas/{project}", {"quota": QUOTAS["network"]})
