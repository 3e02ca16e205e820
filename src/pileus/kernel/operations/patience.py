"""When to try again.  Rule: only what may pass by itself is tried again, with growing, jittered pauses, to a limit."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from pileus.kernel import clock, ids
from pileus.kernel.errors import ApiError, Unavailable, without_paths

T = TypeVar("T")

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 15.0

REFUSALS_S = 60.0
"""How long a host's driver may go on refusing a step: what it cannot do for so long does not get better by itself."""

PASSING = (Unavailable, OperationalError, InterfaceError, TimeoutError)
"""Failures that may pass: a host or an engine that is away or slow."""


class GaveUp(Unavailable):
    """What was hoped for did not happen in time."""


class StillRefused(GaveUp):
    """A host answered again and again that it cannot do it."""


async def insist(
    once: Callable[[], Awaitable[T]],
    until: datetime,
    *,
    pause: Callable[[float], Awaitable[None]],
    passing: tuple[type[Exception], ...] = PASSING,
    failed: Callable[[Exception, int, float], Awaitable[None]] | None = None,
    refusals_s: float | None = None,
) -> T:
    """Return what ``once()`` returns, trying again after failures in ``passing`` until ``until``.

    ``failed(error, attempts, wait)`` hears of each failure and how many seconds the next try is away;
    ``pause(seconds)`` waits.  At the limit the last failure is wrapped in ``GaveUp``, which names it; what hosts have
    refused for ``refusals_s`` without a break in ``StillRefused``.
    """
    delay, attempts, began = FIRST_DELAY_S, 0, clock.monotonic()
    refused_since: float | None = None
    while True:
        try:
            return await once()
        except passing as error:
            attempts += 1
            wait = ids.jitter(delay)
            if not getattr(error, "refused", False):
                refused_since = None
            elif refused_since is None:
                refused_since = clock.monotonic()
            if refused_since is not None and refusals_s is not None and clock.monotonic() - refused_since > refusals_s:
                raise StillRefused(_given_up(error, attempts, began)) from error
            left = (until - clock.now()).total_seconds()
            if left <= wait:
                raise GaveUp(_given_up(error, attempts, began)) from error
            if failed is not None:
                await failed(error, attempts, wait)
        await pause(wait)
        delay = min(delay * 2, LONGEST_DELAY_S)


def _given_up(error: Exception, attempts: int, began: float) -> str:
    return f"{sentence(error)} (gave up after {attempts} attempts in {clock.monotonic() - began:.0f} s)"


def sentence(error: BaseException) -> str:
    """Return a failure in words for a user, who learns no host's paths; a defect of ours also names its class."""
    return without_paths(_words(error))


def full_sentence(error: BaseException) -> str:
    """Return a failure in words for an operator, as the host told it."""
    told = error.told_by_host if isinstance(error, ApiError) else None
    return told or _words(error)


def _words(error: BaseException) -> str:
    if isinstance(error, ApiError):
        return error.message
    text = str(error)
    name = type(error).__name__
    return f"{name}: {text}" if text else name
