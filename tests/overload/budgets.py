"""Every operation with the largest bodies and URLs that its declarations allow: what holds the loop or the writer?

Rule: nothing is remembered by hand: operations come from the routes, bodies from the declarations, parameters of lists
from what the lists show.
"""

import asyncio
import gc
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from pileus.cli.serving import calm_collector
from pileus.kernel import watchdog
from pileus.kernel.rest.bounds import PARAMETER, PARAMETERS
from pileus.kernel.rest.limits import LimitSettings
from pileus.kernel.rest.openapi import DOCUMENTED
from pileus.kernel.rest.versions import version
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import running
from pileus.kernel.watchdog import Doing, LoopWatch
from pileus.services.identity.testing import login
from tests.everywhere import Way, ways
from tests.fuzz.cloud import Target, furnish, singular
from tests.fuzz.wire import Sent, send
from tests.overload.largest import bodies

MOST_S = 0.25
"""Of the processor's time: on a machine with much else to do the clock tells little."""
MOST_KEPT_MB = 50
NOTED_S = 0.02
OPERATIONS_PER_CLOUD = 60


@dataclass(order=True)
class Hold:
    """The longest hold of one request."""

    cpu_s: float
    kind: str = field(compare=False)
    operation: str = field(compare=False)
    what: str = field(compare=False)
    status: int = field(compare=False)

    @property
    def bad(self) -> bool:
        return self.cpu_s >= MOST_S

    @property
    def row(self) -> str:
        return f"| {self.operation} | {self.what} | {self.status} | {self.kind} | {self.cpu_s * 1000:.0f} ms |"


@dataclass
class Report:
    """What a walk found."""

    requests: int = 0
    accepted: int = 0
    operations: int = 0
    holds: list[Hold] = field(default_factory=list)
    kept_mb: float = 0
    keeper: str = ""

    @property
    def bad(self) -> bool:
        return self.kept_mb > MOST_KEPT_MB or any(hold.bad for hold in self.holds)


class Walk:
    """One cloud, what is known of it, and who held it."""

    def __init__(self, runtime: Runtime, target: Target, report: Report) -> None:
        self.runtime, self.target, self.report = runtime, target, report
        self.held: list[tuple[float, str]] = []
        self._random = Random(0)

    def note(self, kind: str, seconds: float, doing: Doing, cpu_s: float | None = None) -> None:
        """Stand in for ``watchdog.held``."""
        if kind != "commit":
            self.held.append((cpu_s or 0, kind))

    def find(self, name: str, template: str = "") -> str | None:
        """Return the id of something that a field or a path parameter means."""
        plain = re.sub(r"(_?id|Ref|_uuid)s?$", "", name)
        if name in ("project_id", "tenant_id", "target_tenant", "tenant"):
            plain = "project"
        for kind in (plain, singular(plain), {"uuid": "network", "volume": "volume"}.get(plain, plain)):
            if kind and (found := self.target.known.get(kind)):
                return found[0]
        return self.target.pick(template, name, self._random) if template else None

    async def try_one(self, way: Way) -> None:
        """Send all that one operation might be sent."""
        path = re.sub(r"{([^}:]+)[^}]*}", lambda m: quote(self.find(m[1], way.template) or "x", safe=""), way.template)
        before = _resident_mb()
        for what, query, body in self._requests(way, path):
            await self._send(way, what, path, query, body)
        if _resident_mb() - before > MOST_KEPT_MB / 2:
            gc.collect()
            kept = _resident_mb() - before
            if kept > self.report.kept_mb:
                self.report.kept_mb, self.report.keeper = kept, way.name
        self.report.operations += 1

    def _requests(self, way: Way, path: str) -> Iterator[tuple[str, list[tuple[str, str]], Any]]:
        route = way.endpoint.route
        documented = getattr(route.handler, DOCUMENTED, None)
        member = route.action or (route.wrap if route.body is None else route.body)
        kind = way.endpoint.body_kind
        if documented is not None:
            member, kind = documented
        if way.method == "GET":
            for what, query in self._queries(way, path):
                yield what, query, None
        elif kind is not None:
            wanted = way.endpoint.api.microversions
            last = version(way.headers["OpenStack-API-Version"].split()[1]) if wanted else (9999, 0)
            for what, body in bodies(kind, partial(self.find), last):
                yield what, [], {member: body} if member else body
                if documented is not None and way.method == "POST" and what == "smallest":
                    plural = path.rpartition("/")[2].replace("-", "_")
                    yield "bulk", [], {plural: [body] * LimitSettings().bulk}

    def _queries(self, way: Way, path: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        yield "plain", []
        names = ["sort_key", "fields", "tags", "name"]
        if way.endpoint.query_kind is not None:
            names += way.endpoint.query_kind.__struct_encode_fields__
        names += self.target.known.get(f"keys of {way.template}", [])
        yield (
            "sorted by all, after a marker",
            [
                *(("sort_key", name) for name in names[:100]),
                ("marker", self.find(singular(path.rpartition("/")[2])) or "x"),
            ],
        )
        for name in dict.fromkeys(names):
            yield f"{PARAMETERS} {name}", [(name, f"v{at}") for at in range(PARAMETERS)]
            yield f"{name} of {PARAMETER} characters", [(name, "(a|b)*," * (PARAMETER // 7))]

    async def _send(self, way: Way, what: str, path: str, query: list[tuple[str, str]], body: Any) -> None:
        headers = {"x-auth-token": self.target.token, "content-type": "application/json"}
        headers |= {name.lower(): value for name, value in way.headers.items()}
        content = json.dumps(body).encode() if body is not None else b""
        url = f"{path}?{urlencode(query)}" if query else path
        await asyncio.sleep(NOTED_S)  # making the body has held the loop too
        self.held.clear()
        answer = await send(self.runtime, Sent(way.name, way.method, url, headers=headers, body=content))
        if way.method == "GET" and what == "plain" and answer.status == 200:
            self._learn(way, answer.body)
        await asyncio.sleep(NOTED_S)
        self.report.requests += 1
        self.report.accepted += answer.status < 300
        if self.held:
            cpu_s, kind = max(self.held)
            self.report.holds.append(Hold(cpu_s, kind, way.name, what, answer.status))

    def _learn(self, way: Way, answer: bytes) -> None:
        """Keep the names that the entries of a list have: most of them are filters and sort keys."""
        try:
            content = json.loads(answer)
        except ValueError:
            return
        for items in content.values() if isinstance(content, dict) else ():
            if isinstance(items, list) and items and isinstance(items[0], dict):
                self.target.known[f"keys of {way.template}"] = list(items[0])


@asynccontextmanager
async def watched(report: Report) -> AsyncIterator[Walk]:
    """Yield a walk through a fresh furnished cloud whose holds are noted."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as runtime:
            document = json.loads(await runtime._document())
            target = Target(runtime, "admin")
            await furnish(runtime)
            target.token = await login(runtime, "admin", "demo")  # in the project whose things there are
            await target.look(document)
            walk = Walk(runtime, target, report)
            calm_collector()  # as a server does: looking for garbage holds whoever is at work
            before = watchdog.held, watchdog.LONG_S, watchdog.BEAT_S
            watchdog.held, watchdog.LONG_S, watchdog.BEAT_S = walk.note, NOTED_S, NOTED_S / 2
            watch = LoopWatch()
            watch.start()
            try:
                yield walk
            finally:
                watch.stop()
                watchdog.held, watchdog.LONG_S, watchdog.BEAT_S = before


async def walk(only: str = "") -> Report:
    """Walk every operation whose name holds ``only``."""
    report = Report()
    waiting = [way for way in ways() if only in way.name and way.method not in ("DELETE", "HEAD")]
    while waiting:
        async with watched(report) as one:
            for _ in range(min(OPERATIONS_PER_CLOUD, len(waiting))):
                await one.try_one(waiting.pop(0))
                if not await one.target.alive():
                    break
    return report


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
