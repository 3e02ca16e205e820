"""The walk: every operation, as everybody who has no right to it, with a victim's ids in every place for an id.

Rule: an answer about a thing of the victim's is the answer about a thing that does not exist.
"""

import asyncio
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from pileus.kernel.testing import client
from tests.attack.exceptions import OPEN, OWN_ROWS, TOLD_APART
from tests.attack.extra import EXTRA, PATCH
from tests.attack.positions import WORDS, Aimed, Position, body_of, kinds_of, last_version, positions
from tests.attack.world import MARK, PLANTED, ROLES, VERSIONS, World, rows_of, world
from tests.everywhere import Way, ways

PERSONAS = (*ROLES, "domain admin", "nobody")
SHORT = ("member",)
EVERYWHERE = ("path", "query", "body", "header")
JOURNALS = frozenset({"requests", "events", "event_cursors", "reconcilers", "idempotency_keys", "operation_steps"})
"""Tables in which what is asked for is written down, whoever asks."""
CHANGING = re.compile(
    r"req-[0-9a-f-]{36}|tx[0-9a-f]{21}-[0-9a-f]{10}\w*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32}\b|"
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?|gAAAA[\w=-]+|"
    r"\br-[a-z0-9]{8}\b|(?<=adminPass.:.)\w+|\b\d{10}\.\d+"
)
"""What differs between two answers to one request: ids, times, tokens."""


@dataclass
class Findings:
    """What a walk tried and found."""

    operations: int = 0
    places: int = 0
    requests: int = 0
    accepted: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    found: dict[str, list[str]] = field(default_factory=dict)
    excepted: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)
    """Faults that are known, by what they are."""

    def add(self, kind: str, text: str) -> None:
        self.found.setdefault(kind, []).append(text)


@dataclass
class Try:
    """One request, but for the id."""

    way: Way
    position: Position
    send: Callable[[str], tuple[str, str, dict[str, str], Any]]
    """``send(id)``: method, URL, headers and body."""
    id: str

    @property
    def name(self) -> str:
        return f"{self.way.name} | {self.position}"


class Walk:
    """One cloud under attack."""

    def __init__(self, world: World, findings: Findings, personas: tuple[str, ...], where: tuple[str, ...]) -> None:
        self.world, self.findings, self.personas, self.where = world, findings, personas, where
        self.clients: dict[str, httpx.AsyncClient] = {}
        self.ids = world.victim.ids()
        self._before: dict[str, set[str]] = {}
        self._given: set[str] = set()

    async def start(self) -> None:
        for persona in self.personas:
            token = self.world.attacker.tokens.get(persona)
            self.clients[persona] = client(self.world.runtime, token)
        rows = (await self.world.admin.get("/networking/v2.0/networks?router:external=true")).json()["networks"]
        self.world.attacker.owned["external"] = [rows[0]["id"]]
        self._before = await self.look()

    async def stop(self) -> None:
        for http in self.clients.values():
            await http.aclose()

    async def look(self) -> dict[str, set[str]]:
        """Return all rows about the victim."""
        return await self.world.runtime.db.read(rows_of, self.ids, JOURNALS)

    async def try_one(self, way: Way) -> None:
        """Try every place of one operation as everybody, then see whether the victim's rows are as before."""
        self.findings.operations += 1
        before = self.findings.requests
        for position in positions(way):
            if position.where in self.where:
                self.findings.places += 1
                for attempt in self.attempts(way, position):
                    await self._as_everybody(attempt)
        for name, kinds, make in EXTRA.get(way.name, ()):
            position = Position("body", name, kinds)
            self.findings.places += 1
            for id in self.foreign(position):
                await self._as_everybody(Try(way, position, self._whole(way, make), id))
        if self.findings.requests > before:
            await self.check_rows(way.name)

    async def _as_everybody(self, attempt: Try) -> None:
        for persona in self.personas:
            await self.compare(attempt, persona)

    async def check_rows(self, name: str) -> None:
        """Compare the victim's rows with what they were; what is new about the victim is a finding too."""
        after = await self.look()
        for table, rows in self._before.items():
            for row in rows - after[table]:
                if self.world.attacker.text in row:
                    continue  # a row of its own, in which an id of the victim's stood
                self.findings.add("written", f"{name}: {table} had {row[:400]}")
            for row in after[table] - rows:
                if not any(table == one and text in name for one, text in OWN_ROWS):
                    self.findings.add("written", f"{name}: {table} has {row[:400]}")
        self._before = after

    def own(self, name: str) -> str | None:
        """Return the id of a thing of the attackers' that a name may mean."""
        for kind in kinds_of(name):
            if found := self.world.attacker.owned.get(kind):
                return found[0]
        return None

    def foreign(self, position: Position) -> list[str]:
        """Return the victim's ids for a place: of the kinds it is for, else those of the rows that stand everywhere."""
        owned = self.world.victim.owned
        found = [owned[kind][0] for kind in position.kinds if owned.get(kind)]
        if position.where == "header":
            return found[:1]
        return [*dict.fromkeys([*found, *([PLANTED] if position.where == "path" or not found else [])])]

    def attempts(self, way: Way, position: Position) -> Iterator[Try]:
        """Yield the requests in which an id stands at one place."""
        for id in self.foreign(position):
            if position.where == "path":
                names = re.findall(r"{([^}]+)}", way.template)
                below = way.service.type == "object_store" and position.name != "account"  # names within an account
                for others in ("victim",) if below else ("victim", "attacker") if len(names) > 1 else ("attacker",):
                    yield Try(way, position, self._in_path(way, position.name, others), id)
            elif position.where == "query":
                yield Try(way, position, self._in_query(way, position.name), id)
            elif position.where == "body":
                yield Try(way, position, self._in_body(way, position.name), id)
            else:
                yield Try(way, position, self._in_header(way, position.name), id)

    def path(self, way: Way, at: str = "", id: str = "", others: str = "attacker") -> str:
        """Return the path with an id at one parameter and things of somebody's at all others."""
        owned = (self.world.victim if others == "victim" else self.world.attacker).owned
        parts, before = [], ""
        for part in way.template.split("/"):
            if part.startswith("{"):
                name = part.strip("{}").removesuffix(":path")
                kinds = kinds_of(name, before)
                unknown = PLANTED if others == "victim" and name not in WORDS else "word"
                own = next((owned[kind][0] for kind in kinds if owned.get(kind)), unknown)
                parts.append(quote(id if name == at else own, safe=""))
            else:
                parts.append(part)
            before = part
        return "/".join(parts)

    def _head(self, way: Way) -> dict[str, str]:
        kind = PATCH if way.name.startswith("PATCH /image/") else "application/json"
        if way.template.endswith(("/file", "/stage")) or way.service.type == "object_store":
            kind = "application/octet-stream"
        return {**VERSIONS, **way.headers, "Content-Type": kind}

    def _smallest(self, way: Way, place: str = ".nowhere", id: Any = None) -> Any:
        member, kind = body_of(way)
        if way.method in ("GET", "HEAD", "DELETE"):
            return None
        if kind is None or kind is Any:
            return way.body
        maker = Aimed(self.own, last_version(way), place, id)
        made = maker.make(kind)
        return {member: made} if member else made

    def _in_path(self, way: Way, name: str, others: str) -> Callable[[str], tuple[str, str, dict[str, str], Any]]:
        body = self._smallest(way)
        return lambda id: (way.method, self.path(way, name, id, others), self._head(way), body)

    def _in_query(self, way: Way, name: str) -> Callable[[str], tuple[str, str, dict[str, str], Any]]:
        return lambda id: (way.method, f"{self.path(way)}?{name}={quote(id, safe='')}", self._head(way), None)

    def _in_body(self, way: Way, place: str) -> Callable[[str], tuple[str, str, dict[str, str], Any]]:
        return lambda id: (way.method, self.path(way), self._head(way), self._smallest(way, place, id))

    def _in_header(self, way: Way, words: str) -> Callable[[str], tuple[str, str, dict[str, str], Any]]:
        name, _, value = words.partition(": ")
        first = re.search(r"{(\w+)}", value)
        assert first is not None
        owned = self.world.victim.owned

        def send(id: str) -> tuple[str, str, dict[str, str], Any]:
            filled = value.replace(first[0], id)
            filled = re.sub(r"{(\w+)}", lambda m: owned[m[1]][0], filled)
            account = {"X-Copy-From-Account": owned["account"][0]} if name == "X-Copy-From" else {}
            return way.method, self.path(way), {**self._head(way), **account, name: filled}, None

        return send

    def _whole(self, way: Way, make: Any) -> Callable[[str], tuple[str, str, dict[str, str], Any]]:
        return lambda id: (way.method, self.path(way), self._head(way), make(self.own, id))

    async def compare(self, attempt: Try, persona: str) -> None:
        """Ask about nothing, then about the victim's thing: the answers must be the same and tell nothing."""
        nothing = like(attempt.id)
        unknown = await self.ask(attempt, persona, nothing)
        known = await self.ask(attempt, persona, attempt.id)
        self.read(attempt, persona, known)
        if known.status_code >= 500 and known.status_code != 501:
            self.findings.add("failed", f"{attempt.name} as {persona}: {known.status_code} {known.text[:200]}")
        if same(unknown, known, nothing, attempt.id):
            return
        if same(await self.ask(attempt, persona, nothing), known, nothing, attempt.id):
            return  # the first request changed something of the attacker's own
        told = f"{attempt.name} as {persona}: {known.status_code} {known.text[:200]} but {unknown.status_code} "
        told += unknown.text[:200]
        if (reason := reason_in(TOLD_APART, attempt.name)) is not None:
            self.findings.excepted[reason] += 1
        elif (reason := reason_in(OPEN, attempt.name)) is not None:
            self.findings.open[reason] += 1
        else:
            self.findings.add("told apart", told)

    async def ask(self, attempt: Try, persona: str, id: str) -> httpx.Response:
        """Send a request as somebody; who was logged out by it logs in again."""
        method, url, headers, body = attempt.send(id)
        answer = await self._send(persona, method, url, headers, body)
        if answer.status_code == 401 and persona != "nobody" and not await self._alive(persona):
            tenant = self.world.attacker
            tenant.tokens[persona] = await self.world.token(tenant, persona)
            self.clients[persona].headers["X-Auth-Token"] = tenant.tokens[persona]
            answer = await self._send(persona, method, url, headers, body)
        self.findings.requests += 1
        self.findings.statuses[answer.status_code] += 1
        self.findings.accepted += answer.is_success
        return answer

    async def _send(self, persona: str, method: str, url: str, headers: dict[str, str], body: Any) -> httpx.Response:
        content = b"" if body is None else json.dumps(body).encode()
        await asyncio.sleep(0)  # lets the loop turn, so that the watchdog times requests and not rows of them
        return await self.clients[persona].request(method, url, headers=headers, content=content)

    async def _alive(self, persona: str) -> bool:
        token = self.clients[persona].headers["X-Auth-Token"]
        answer = await self.clients[persona].get("/identity/v3/auth/tokens", headers={"X-Subject-Token": token})
        return answer.status_code == 200

    def read(self, attempt: Try, persona: str, answer: httpx.Response) -> None:
        """Look for what is the victim's and was not in the request."""
        text = answer.text + str(answer.headers.multi_items())
        _, url, headers, body = attempt.send(attempt.id)
        sent = f"{url} {headers} {json.dumps(body)}"
        if MARK in text.replace(quote(attempt.id), "") and MARK not in sent:
            self.findings.add("read", f"{attempt.name} as {persona}: {answer.status_code} {answer.text[:300]}")
        if answer.is_success:
            self._given.update(id for id in self.ids if id in sent)
        told = {id for id in self.ids if id in text and id not in sent}
        if self.world.attacker.text in text:
            told -= self._given  # a thing of the attackers' own shows what they have written into it
        if told:
            self.findings.add("read", f"{attempt.name} as {persona}: tells {told}: {answer.text[:300]}")


def reason_in(reasons: dict[str, tuple[str, ...]], name: str) -> str | None:
    """Return the reason of the first entry that is part of a name."""
    return next((why for why, parts in reasons.items() if any(part in name for part in parts)), None)


def like(id: str) -> str:
    """Return a text of the same form that names nothing."""
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", id):
        return str(uuid.uuid4())
    if re.fullmatch(r"[0-9a-f]{32,64}", id):
        return (uuid.uuid4().hex * 2)[: len(id)]
    if id.startswith("req-"):
        return f"req-{uuid.uuid4()}"
    if id.startswith("AUTH_"):
        return f"AUTH_{uuid.uuid4().hex}"
    if id.isdigit():
        return str(int(id) + 7_000_000)
    if len(id) > 100:  # a token: one that is no token
        return id[:-6] + id[-5:] + id[-6]
    return "q" * len(id)


def same(first: httpx.Response, second: httpx.Response, one: str, other: str) -> bool:
    """Tell whether two answers differ in nothing but the ids they are about, and what differs each time."""
    return first.status_code == second.status_code and plain(first, one) == plain(second, other)


def plain(answer: httpx.Response, id: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what an answer says: its text and headers without the id and what differs each time."""
    heads = [
        (name, _plain(value, id)) for name, value in sorted(answer.headers.items()) if name not in CHANGING_HEADERS
    ]
    return _plain(answer.text, id), heads


CHANGING_HEADERS = ("date", "content-length", "x-openstack-request-id", "x-compute-request-id", "etag", "x-timestamp")


def _plain(text: str, id: str) -> str:
    for form in (id, id.replace("-", ""), quote(id, safe="")):
        text = text.replace(form, "ID")
    return CHANGING.sub("-", text)


async def walk(only: str = "", *, short: bool = False, tell: Callable[[str], None] = lambda text: None) -> Findings:
    """Walk every operation whose name holds ``only``, one cloud a service; ``short``: one cloud, a member, no paths."""
    findings = Findings()
    chosen: dict[str, list[Way]] = {}
    for way in ways():
        if only in way.name:
            chosen.setdefault("all services" if short else way.service.type, []).append(way)
    for service, those in chosen.items():
        async with world() as one:
            attack = Walk(one, findings, SHORT if short else PERSONAS, ("body", "header") if short else EVERYWHERE)
            await attack.start()
            try:
                for number, way in enumerate(those):
                    tell(f"{service}: {number} of {len(those)} operations, {findings.requests:,} requests")
                    await attack.try_one(way)
                await asyncio.sleep(0.5)  # what goes on in the background
                await attack.check_rows(f"after all of {service}")
            finally:
                await attack.stop()
    return findings
