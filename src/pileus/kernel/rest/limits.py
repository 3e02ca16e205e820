"""How much is served at once and how fast, so that no client can take the place of all others.

Rule: whoever is refused is told when to come back; what is admitted is served as if there were no limits.
"""

import math
from collections.abc import Callable
from typing import Annotated

import msgspec

from pileus.kernel import clock
from pileus.kernel.config import Settings
from pileus.kernel.errors import Invalid, TooManyRequests, Unavailable

REMEMBERED = 10_000
"""Buckets that are kept; the fullest are forgotten first, which costs nobody anything."""


class LimitSettings(Settings, frozen=True):
    """Table ``[limits]``; each process counts for itself."""

    connections: int = 10_000
    """Open at once; beyond it idle ones are closed to make room."""
    requests: int = 1000
    """Served at once, those that stream included; beyond it 503."""
    websockets: int = 500
    """Open at once; a console is one."""
    watchers: int = 1000
    """Streams of events at once."""
    project_rate: float = 0
    """Requests a second of one project (of one address, for requests without a token), on average; 0: no limit."""
    project_burst: int = 0
    """How many of them may come at once; by default two seconds' worth."""
    page: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Entries of a list at most, also where no limit is asked for (Image: 25): upstream's ``max_limit`` (Compute),
    ``osapi_max_limit`` (Block Storage), ``api_limit_max`` (Image)."""
    whole: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The same for Networking's lists, which upstream too answers whole (``pagination_max_limit``); 0: no limit."""
    bulk: Annotated[int, msgspec.Meta(ge=1)] = 50
    """Things that one request may make; so many take about 250 ms, in which nobody else writes."""
    head_bytes: int = 64 << 10
    """Of a request's line and headers."""
    head_s: float = 20
    """For a request's line and headers to arrive, and for a new connection to say anything."""
    body_s: float = 30
    """Between two pieces of a request's body."""
    stall_s: float = 60
    """For a client to take the next 16 KiB of an answer."""
    unsent_bytes: int = 256 << 20
    """Of answers that wait for their clients, all together; beyond it the slowest clients are cut off."""


def check_bulk(count: int, settings: LimitSettings) -> None:
    """Raise Invalid when a request would make more things than one may; called before any work."""
    if count > settings.bulk:
        raise Invalid(
            f"The request would make {count} things at once; at most {settings.bulk} are made by one request. Send them"
            " in several."
        )


class Buckets:
    """A bucket for each owner: it fills with time, by ``rate`` drops a second up to ``burst``."""

    def __init__(self, rate: float, burst: float, now: Callable[[], float] = clock.monotonic) -> None:
        self._rate, self._burst, self._now = rate, burst, now
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, owner: str) -> int:
        """Return the seconds until there is a drop; 0 when there is one."""
        level = self._level(owner, self._now())
        return 0 if level >= 1 else max(1, math.ceil((1 - level) / self._rate))

    def take(self, owner: str, drops: float = 1) -> None:
        """Take drops, as far as there are any."""
        now = self._now()
        self._buckets[owner] = (max(0, self._level(owner, now) - drops), now)
        if len(self._buckets) > REMEMBERED:
            self._forget(now)

    def _level(self, owner: str, now: float) -> float:
        level, at = self._buckets.get(owner, (self._burst, now))
        return min(self._burst, level + (now - at) * self._rate)

    def _forget(self, now: float) -> None:
        for owner in sorted(self._buckets, key=lambda owner: self._level(owner, now), reverse=True)[: REMEMBERED // 2]:
            del self._buckets[owner]


class Rates:
    """How fast each project may go: a request takes one drop of its bucket."""

    def __init__(self, settings: LimitSettings, now: Callable[[], float] = clock.monotonic) -> None:
        self._rate = settings.project_rate
        self._buckets = Buckets(self._rate, float(settings.project_burst or max(1, math.ceil(2 * self._rate))), now)

    def take(self, owner: str) -> None:
        """Count a request; raise TooManyRequests, saying when the next one may come."""
        if wait_s := self._buckets.wait_s(owner):
            raise TooManyRequests(
                f"Too many requests: {self._rate:g} a second are served for one project; go on in {wait_s} s.",
                headers={"Retry-After": str(wait_s)},
            )
        self._buckets.take(owner)


class Room:
    """Places for something of which only so many may be open at once."""

    def __init__(self, places: int, what: str) -> None:
        self.places = places
        self.taken = 0
        self._what = what

    def enter(self) -> None:
        """Take a place; raise Unavailable when there is none."""
        if self.taken >= self.places:
            raise Unavailable(
                f"{self.places} {self._what} are open already, as many as this server serves; try again in a moment.",
                headers={"Retry-After": "1"},
            )
        self.taken += 1

    def leave(self) -> None:
        """Give the place back."""
        self.taken -= 1
