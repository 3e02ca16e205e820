"""How much is served at once and how fast, so that no client can take the place of all others.

Rule: whoever is refused is told when to come back; what is admitted is served as if there were no limits.
"""

import math
from collections.abc import Callable

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
    watchers: int = 1000
    """Streams of events at once."""
    project_rate: float = 0
    """Requests a second of one project (of one address, for requests without a token), on average; 0: no limit."""
    project_burst: int = 0
    """How many of them may come at once; by default two seconds' worth."""
    bulk: int = 50
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


class Rates:
    """A bucket for each project: it fills with time, and a request takes one drop."""

    def __init__(self, settings: LimitSettings, now: Callable[[], float] = clock.monotonic) -> None:
        self._rate = settings.project_rate
        self._burst = float(settings.project_burst or max(1, math.ceil(2 * settings.project_rate)))
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, owner: str) -> None:
        """Count a request; raise TooManyRequests, saying when the next one may come."""
        now = self._now()
        level, at = self._buckets.get(owner, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        if level < 1:
            self._buckets[owner] = (level, now)
            wait_s = max(1, math.ceil((1 - level) / self._rate))
            raise TooManyRequests(
                f"Too many requests: {self._rate:g} a second are served for one project; go on in {wait_s} s.",
                headers={"Retry-After": str(wait_s)},
            )
        self._buckets[owner] = (level - 1, now)
        if len(self._buckets) > REMEMBERED:
            self._forget(now)

    def _forget(self, now: float) -> None:
        def level(owner: str) -> float:
            level, at = self._buckets[owner]
            return level + (now - at) * self._rate

        for owner in sorted(self._buckets, key=level, reverse=True)[: REMEMBERED // 2]:
            del self._buckets[owner]


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
