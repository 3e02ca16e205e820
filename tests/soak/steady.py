"""Ordinary work and no kills: does the server's memory level off?  ``python -m tests.soak.steady --minutes 30``.

A fake cloud as ``pileus up --fake`` starts it; users do a little of everything over HTTP, and clean up.  Exit code 1
if the second half of the run ends higher than ``MOST_GROWTH`` above its beginning.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from pileus.kernel.ids import new_id
from pileus.kernel.rest.local import Refused, sentence_of
from tests.e2e.cloud import RealCloud
from tests.section import write_into
from tests.sim.services import day
from tests.sim.services.cloud import COMPUTE, IMAGE, NETWORK, User

MARKS = "steady: begin, written by python -m tests.soak.steady", "steady: end"
PAUSE_S, LOOK_S = 0.5, 10.0
LINES = 10
MOST_GROWTH = 0.05


class Remote:
    """The APIs over HTTP, as ``LocalClient`` has them inside the process."""

    def __init__(self, url: str, who: dict[str, Any]) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60)
        self._who = who
        self.requests = 0

    async def log_in(self) -> None:
        """Take a new token."""
        user = {"name": self._who["user"], "password": self._who["password"], "domain": {"id": "default"}}
        scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        _, headers = await self.call("POST", "/identity/v3/auth/tokens", body)
        self._http.headers["X-Auth-Token"] = headers["x-subject-token"]

    async def get(self, path: str, **query: Any) -> Any:
        return (await self.call("GET", path, query=query))[0]

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return (await self.call("POST", path, body, headers=headers))[0]

    async def put(self, path: str, body: Any = None) -> Any:
        return (await self.call("PUT", path, body))[0]

    async def delete(self, path: str) -> None:
        await self.call("DELETE", path)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[Any, dict[str, str]]:
        """Return (decoded answer, headers); raise Refused for 400 and above."""
        given = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body} if body else {}
        answer = await self._http.request(method, path, params=query, headers=given, **content)
        self.requests += 1
        if answer.status_code >= 400:
            raise Refused(sentence_of(answer.content), status=answer.status_code)
        is_json = answer.content and "json" in answer.headers.get("content-type", "")
        return (answer.json() if is_json else answer.content or None), dict(answer.headers)


class RemoteUser(User):
    """The demo user of a cloud in another process."""

    def __init__(self, api: Remote, image: str, network: str, database: Path) -> None:
        self.api, self.image, self.network = api, image, network
        self._database = database

    async def idle(self) -> None:
        """Wait until nothing is under way, as the database tells."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if not read(self._database, "select count(*) from operations where live_resource is not null"):
                return
            await asyncio.sleep(0.05)
        raise TimeoutError("something is under way for two minutes")


def read(database: Path, query: str) -> int:
    """Return one number, by a connection of the watcher's own."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(query).fetchone()[0]
    finally:
        connection.close()


@dataclass
class Sample:
    """What was seen at one moment."""

    at_s: float
    requests: int
    pss_mib: float
    database_mib: float


@dataclass
class Steady:
    """One run."""

    cloud: RealCloud
    samples: list[Sample] = field(default_factory=list)

    async def run(self, minutes: float) -> None:
        state = self.cloud.state
        api = Remote(f"http://127.0.0.1:{self.cloud.port}", state.credentials()["demo"])
        await api.log_in()
        body = {"name": "tiny", "disk_format": "raw", "container_format": "bare"}
        image = (await api.post(f"{IMAGE}/images", body))["id"]
        octets = {"Content-Type": "application/octet-stream"}
        await api.call("PUT", f"{IMAGE}/images/{image}/file", bytes(4096), headers=octets)
        network = (await api.get(f"{NETWORK}/networks", name="private"))["networks"][0]["id"]
        user = RemoteUser(api, image, network, state.path / "pileus.db")
        began = time.monotonic()
        looked = -LOOK_S
        while (at_s := time.monotonic() - began) < minutes * 60:
            if at_s - looked >= LOOK_S:
                looked = at_s
                self.samples.append(Sample(at_s, api.requests, self._pss_mib(), self._size_mib()))
            await self._round(user, api)
            await asyncio.sleep(PAUSE_S)

    async def _round(self, user: RemoteUser, api: Remote) -> None:
        await api.log_in()
        await day.use_servers(user)
        await day.use_volumes(user)
        await day.use_networks(user)
        await day.use_images(user)
        for path in (f"{COMPUTE}/servers/{new_id()}", f"/{new_id()}"):
            with suppress(Refused):
                await api.get(path)
        await user.wipe()
        await user.idle()

    def _pss_mib(self) -> float:
        lines = Path(f"/proc/{self.cloud.state.pid('server')}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def _size_mib(self) -> float:
        return (self.cloud.state.path / "pileus.db").stat().st_size / 2**20

    @property
    def growth(self) -> float:
        """By how much the last tenth of the run lies above the tenth that follows its half, as a share."""
        tenth = max(1, len(self.samples) // 10)
        half = len(self.samples) // 2
        first, last = (median(part) for part in (self.samples[half : half + tenth], self.samples[-tenth:]))
        return last / first - 1

    def text(self, minutes: float) -> str:
        """Return the section of the document."""
        width_s = minutes * 60 / LINES
        lines = [
            "### Ordinary work, no kills",
            "",
            f"`python -m tests.soak.steady --minutes {minutes:.0f}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: a fake "
            f"cloud in one process, {self.samples[-1].requests:,} requests of everything over HTTP. In the second "
            f"half of the run its memory changed by {self.growth:+.1%}.",
            "",
            "| from minute | requests so far | server, median MiB (PSS) | highest | database, MiB |",
            "| ---: | ---: | ---: | ---: | ---: |",
        ]
        for number in range(LINES):
            part = [one for one in self.samples if number * width_s <= one.at_s < (number + 1) * width_s]
            if part:
                highest = max(one.pss_mib for one in part)
                lines.append(
                    f"| {number * width_s / 60:.0f} | {part[-1].requests:,} | {median(part):.1f} | {highest:.1f} | "
                    f"{part[-1].database_mib:.1f} |"
                )
        return "\n".join(lines) + "\n"


def median(samples: list[Sample]) -> float:
    """Return the median PSS."""
    return sorted(one.pss_mib for one in samples)[len(samples) // 2]


def main() -> int:
    """Return 1 if the memory has not levelled off."""
    words = argparse.ArgumentParser(prog="python -m tests.soak.steady", description=__doc__)
    words.add_argument("--minutes", type=float, default=30)
    words.add_argument("--report", type=Path, help="the document whose section is replaced")
    chosen = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="pileus-steady-", dir="/var/tmp") as folder:
        cloud = RealCloud(Path(folder))
        cloud.pileus("up", "--fake", "--port", str(cloud.port))
        steady = Steady(cloud)
        try:
            asyncio.run(steady.run(chosen.minutes))
        finally:
            cloud.pileus("down", "--purge")
    print(steady.text(chosen.minutes))
    if chosen.report:
        write_into(chosen.report, *MARKS, steady.text(chosen.minutes))
    return 1 if steady.growth > MOST_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
