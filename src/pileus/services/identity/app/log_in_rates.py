"""How often somebody may try to log in.

Rule: what failed takes a whole drop of the bucket of its user and of its address, what succeeded a hundredth; once a
bucket is empty no guess is answered any more, right or wrong, until it fills.
"""

from collections import OrderedDict
from collections.abc import Sequence

from pileus.kernel.errors import TooManyRequests
from pileus.kernel.rest.limits import Buckets
from pileus.kernel.runtime import Runtime
from pileus.services.identity.model import IdentitySettings

SUCCESS = 0.01
"""Drops that a log-in takes which succeeds."""
REMEMBERED = 10_000
"""Users at an address that logged in there before."""


class LogInRates:
    """The buckets of one process."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.config.get(IdentitySettings).log_ins
        self._users = Buckets(settings.user_per_minute / 60, settings.user_burst)
        self._sources = Buckets(settings.source_per_minute / 60, settings.source_burst)
        self._at_home: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.enabled = settings.enabled

    def check(self, users: Sequence[str], source: str | None) -> None:
        """Raise TooManyRequests while too many log-ins of these users, or from this address, have failed."""
        if not self.enabled:
            return
        wait_s = self._sources.wait_s(source) if source is not None else 0
        wait_s = max([wait_s, *(self._users.wait_s(self._owner(user, source)) for user in users)])
        if wait_s:
            raise TooManyRequests(
                f"Too many log-ins have failed; try again in {wait_s} s.", headers={"Retry-After": str(wait_s)}
            )

    def failed(self, users: Sequence[str], source: str | None) -> None:
        """Count a log-in that failed; raise TooManyRequests when its failure may not even be told."""
        self.check(users, source)
        self._take(users, source, 1)

    def succeeded(self, users: Sequence[str], source: str | None) -> None:
        """Count a log-in that succeeded; raise TooManyRequests when guesses that raced it have emptied a bucket."""
        self.check(users, source)
        self._take(users, source, SUCCESS)
        for user in users:
            if source is not None:
                self._at_home[user, source] = None
                self._at_home.move_to_end((user, source))
        while len(self._at_home) > REMEMBERED:
            self._at_home.popitem(last=False)

    def _take(self, users: Sequence[str], source: str | None, drops: float) -> None:
        if source is not None:
            self._sources.take(source, drops)
        for user in users:
            self._users.take(self._owner(user, source), drops)

    def _owner(self, user: str, source: str | None) -> str:
        """Return whose bucket counts: at an address where a user has logged in before it has one of its own.

        So nobody who guesses elsewhere can lock a user out.
        """
        return f"{user} at {source}" if source is not None and (user, source) in self._at_home else user
