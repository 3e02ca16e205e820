"""Users: each plays verbs on its project's things, some of which others are just changing or have removed.

Rule: a user knows only what the APIs answer, and every answer must be a legal one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pileus.kernel import ids
from pileus.simulation.cloud import Answered, Cloud, Lost
from pileus.simulation.template import Project, Template
from pileus.simulation.trace import Trace, Violation

LEGAL = {400, 403, 404, 409, 410, 413, 503}
"""Refusals that users may meet here: of bodies that do not fit the state, of quota, of what is gone or busy."""
FAILED = {"os-interface": 500}
"""How the failure of something is answered whose end the answer waits for, by the last word of its path."""
HEADERS = {
    "/compute": {"x-openstack-nova-api-version": "2.95"},
    "/volume": {"openstack-api-version": "volume 3.71"},
}
MOST_REMEMBERED = 12
FOREIGN = 0.04


@dataclass
class Belongings:
    """What the users of one project have made, by kind; some of it is gone already."""

    project: Project
    known: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, id: str) -> None:
        """Remember a thing."""
        things = self.known.setdefault(kind, [])
        things.append(id)
        del things[:-MOST_REMEMBERED]

    def forget(self, kind: str, id: str) -> None:
        """Forget a thing that was removed, most of the time."""
        if id in self.known.get(kind, ()):
            self.known[kind].remove(id)


class User:
    """One person with one token."""

    def __init__(
        self, name: str, cloud: Cloud, template: Template, mine: Belongings, others: Belongings, random: Random
    ) -> None:
        self.name = name
        self.cloud = cloud
        self.template = template
        self.mine = mine
        self.others = others
        self.random = random
        self.trace: Trace = cloud.trace
        self.verb = ""

    async def live(self, steps: int, pause_s: float, verbs: "Sequence[tuple[str, int, Verb]]") -> None:
        """Play ``steps`` verbs, now quickly, now slowly: ``pause_s`` at most between them."""
        names, weights, acts = zip(*verbs, strict=True)
        for _ in range(steps):
            number = self.random.choices(range(len(names)), weights)[0]
            self.verb = names[number]
            await acts[number](self)
            await asyncio.sleep(self.random.random() ** 3 * pause_s)

    def chance(self, share: float) -> bool:
        """Decide."""
        return self.random.random() < share

    def name_of(self, kind: str) -> str:
        """Return a name."""
        return f"{kind}-{self.random.randrange(1000)}"

    def some(self, kind: str) -> str:
        """Return the id of a thing of a kind: mostly one of the project's, else another's or none's."""
        own = self.mine.known.get(kind, [])
        foreign = self.others.known.get(kind, [])
        if foreign and self.chance(FOREIGN):
            return self.random.choice(foreign)
        if not own or self.chance(0.02):
            return ids.new_id()
        return own[-1] if self.chance(0.4) else self.random.choice(own)

    def has(self, kind: str) -> bool:
        """Tell whether the project has made one, as far as is known."""
        return bool(self.mine.known.get(kind))

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Send a request; return the answer's body, or None when it was refused or lost."""
        service = "/" + path.split("/", 2)[1]
        headers = HEADERS.get(service, {})
        if isinstance(body, bytes):
            headers = {**headers, "content-type": "application/octet-stream"}
        try:
            answer = await self.cloud.call(
                method, path, body, token=self.mine.project.token, query=query, headers=headers
            )
        except Lost:
            self.trace.seen[f"{self.verb}: no answer"] += 1
            self.trace.tell(f"{self.name} {self.verb}: {method} {path} was not answered")
            return None
        return self._judge(method, path, body, answer)

    def _judge(self, method: str, path: str, body: Any, answer: Answered) -> Any:
        self.trace.seen[f"{self.verb}: {answer.status}"] += 1
        self.trace.tell(f"{self.name} {self.verb}: {method} {path} -> {answer.status}")
        if answer.status < 300:
            return answer.body if answer.body is not None else {}
        failed = answer.status == FAILED.get(path.rpartition("/")[2]) and "is a defect" not in str(answer.body)
        if answer.status not in LEGAL and not failed:
            raise Violation(f"{method} {path} answered {answer.status}: {answer.body}; it was asked {body!r:.300}")
        return None

    async def make(self, kind: str, path: str, member: str, body: dict[str, Any], **beside: Any) -> str | None:
        """Create a thing and remember it; return its id.  ``beside`` stands beside the member in the body."""
        made = await self.ask("POST", path, {member: body, **beside} if member else body)
        if not made:
            return None
        id = made[member]["id"] if member else made["id"]
        self.mine.add(kind, id)
        return id

    async def remove(self, kind: str, path: str) -> None:
        """Delete one thing of a kind."""
        id = self.some(kind)
        if await self.ask("DELETE", f"{path}/{id}") is not None and self.chance(0.7):
            self.mine.forget(kind, id)


Verb = Callable[[User], Awaitable[object]]
