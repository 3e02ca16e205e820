"""Identity beside a Keystone that runs on the same machine: ``python -m bench.keystone --pids DIR --write``.

The other one is found as clients find it (``OS_AUTH_URL``, ``OS_USERNAME``, ``OS_PASSWORD``, ``OS_PROJECT_NAME``); it
gets a domain of its own with 1,000 users, which is removed at the end.  Without one only Pileus is measured.  The two
take turns, so that whatever else the machine does disturbs both alike.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import page, processes
from bench.cloud import FakeCloud
from bench.http import Connection

ROUNDS = 3
SECONDS = 2.0
"""One round of one kind of request takes so long, or two requests."""
USERS = 1000
DOMAIN = "bench-side-by-side"


@dataclass
class Side:
    """One of the two, with an administrator logged in."""

    name: str
    base: str
    """Its root, the path of ``/v3`` left out."""
    path: str
    cpu_s: Callable[[], float] | None
    credentials: dict[str, str]
    token: str = ""
    domain_id: str = ""
    user_id: str = ""
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = Connection(self.base, {"Accept": "application/json"})

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request and return its answer; a refusal is an error."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.connection.request(method, self.path + path, body, given)
        return answer.expect(200, 201, 204)

    def password(self) -> dict[str, Any]:
        """Return the body of a log-in by password."""
        given = self.credentials
        user = {"name": given["user"], "domain": {"id": "default"}, "password": given["password"]}
        scope = {"project": {"name": given["project"], "domain": {"id": "default"}}}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}

    async def prepare(self) -> None:
        """Log in, and make the domain with its users (without passwords, whose hashes would take minutes)."""
        answer = await self.ask("POST", "/auth/tokens", self.password())
        self.token = answer.headers["x-subject-token"]
        self.user_id = answer.json()["token"]["user"]["id"]
        mine = {"X_Auth_Token": self.token}
        for old in (await self.ask("GET", f"/domains?name={DOMAIN}", **mine)).json()["domains"]:
            await self._remove(old["id"])
        made = await self.ask("POST", "/domains", {"domain": {"name": DOMAIN}}, **mine)
        self.domain_id = made.json()["domain"]["id"]
        for number in range(USERS):
            user = {"name": f"person {number}", "domain_id": self.domain_id}
            await self.ask("POST", "/users", {"user": user}, **mine)

    async def _remove(self, domain_id: str) -> None:
        mine = {"X_Auth_Token": self.token}
        await self.ask("PATCH", f"/domains/{domain_id}", {"domain": {"enabled": False}}, **mine)
        await self.ask("DELETE", f"/domains/{domain_id}", **mine)

    async def clean(self) -> None:
        """Remove what was made."""
        if self.domain_id:
            await self._remove(self.domain_id)
        self.connection.close()

    def requests(self) -> dict[str, tuple[str, str, Any, dict[str, str]]]:
        """Return what is measured, by name."""
        mine = {"X_Auth_Token": self.token}
        by_token = {"identity": {"methods": ["token"], "token": {"id": self.token}}}
        by_token["scope"] = self.password()["auth"]["scope"]
        return {
            "validate token": ("GET", "/auth/tokens", None, mine | {"X_Subject_Token": self.token}),
            "token from token": ("POST", "/auth/tokens", {"auth": by_token}, {}),
            "show user": ("GET", f"/users/{self.user_id}", None, mine),
            "list 1,000 users": ("GET", f"/users?domain_id={self.domain_id}", None, mine),
            "token by password, hash included": ("POST", "/auth/tokens", self.password(), {}),
        }

    async def round(self, name: str) -> None:
        """Send one request after another for a while; note the CPU of each and the median time."""
        method, path, body, headers = self.requests()[name]
        await self.ask(method, path, body, **headers)
        times: list[float] = []
        cpu, until = self.cpu_s() if self.cpu_s else 0.0, time.monotonic() + SECONDS
        while time.monotonic() < until or len(times) < 2:
            started = time.perf_counter()
            await self.ask(method, path, body, **headers)
            times.append(time.perf_counter() - started)
        self.times_ms.setdefault(name, []).append(statistics.median(times) * 1e3)
        if self.cpu_s:
            self.cpu_ms.setdefault(name, []).append((self.cpu_s() - cpu) / len(times) * 1e3)


async def measure(sides: list[Side]) -> None:
    """Measure all of them in turns."""
    async with contextlib.AsyncExitStack() as ends:
        for side in sides:
            ends.push_async_callback(side.clean)
            await side.prepare()
            services = len((await side.ask("GET", "/auth/catalog", X_Auth_Token=side.token)).json()["catalog"])
            print(f"{side.name}: {services} services in the catalog, {USERS:,} users in a domain")
        for name in sides[0].requests():
            for _ in range(ROUNDS):
                for side in sides:
                    await side.round(name)


def report(sides: list[Side]) -> str:
    """Return the table: CPU first, then median times, with the ratios."""
    ours, other = sides[0], sides[1] if len(sides) > 1 else None
    heads = ["Identity over HTTP", f"CPU, {ours.name}"]
    heads += [f"CPU, {other.name}", "ratio"] if other else []
    heads += [f"median, {ours.name}"] + ([f"median, {other.name}", "ratio"] if other else [])
    rows = []
    for name in ours.times_ms:
        row = [name]
        for kind in ("cpu_ms", "times_ms"):
            found = [getattr(side, kind).get(name) for side in sides]
            values = [statistics.median(one) if one else None for one in found]
            row += ["" if value is None else f"{value:.2f} ms" for value in values]
            if other:
                row.append("" if None in values else f"{(values[1] or 0) / (values[0] or 1):.1f}")
        rows.append(tuple(row))
    return page.table(tuple(heads), rows)


def the_other(words: argparse.Namespace) -> Side | None:
    """Return the Keystone that the environment names, if any."""
    url = os.environ.get("OS_AUTH_URL", "").rstrip("/").removesuffix("/v3")
    if not url:
        return None
    host, _, path = url.removeprefix("http://").partition("/")
    pids = processes.pids_of(words.pids)
    given = {
        "user": os.environ.get("OS_USERNAME", "admin"),
        "password": os.environ["OS_PASSWORD"],
        "project": os.environ.get("OS_PROJECT_NAME", "admin"),
    }
    cpu = (lambda: processes.cpu_s(pids)) if pids else None
    return Side(words.name, f"http://{host}", f"/{path}/v3" if path else "/v3", cpu, given)


def main() -> None:
    """Measure and print; with ``--write`` also into docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="Keystone", help="what the other one is called, such as 'Keystone 29'")
    parser.add_argument("--pids", type=Path, action="append", default=[], help="its pid files, or folders of them")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    words = parser.parse_args()
    other = the_other(words)
    with FakeCloud(hosts=1) as cloud:
        known = json.loads((cloud.state / "credentials.json").read_text()).values()
        admin = next(user for user in known if user["project"] == "admin")
        ours = Side("Pileus", cloud.url, "/identity/v3", cloud.cpu_s, admin)
        sides = [ours, other] if other else [ours]
        asyncio.run(measure(sides))
    text = report(sides)
    print(text)
    if words.write:
        counted = processes.names(processes.pids_of(words.pids)) if words.pids else ""
        whose = f"; CPU of {words.name} is that of its {counted}" if counted else ""
        page.put("keystone", f"Measured {page.today()} on {os.cpu_count()} cores, one client, in turns{whose}.", text)


if __name__ == "__main__":
    main()
