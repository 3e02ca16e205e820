"""Passwords: hashed and checked by bcrypt on threads of their own, so that other requests do not wait.

Rule: a failed check costs the same whoever asked for whom, so that time tells nobody which names exist.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import bcrypt

from pileus.kernel.errors import Unavailable
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import foreign_hashes
from pileus.services.identity.model import IdentitySettings

P = ParamSpec("P")
T = TypeVar("T")

LONGEST = 4096
"""Characters of a password at most."""
WAITING = 64
"""Checks that may wait at most: beyond it a client is told to come back."""


def _secret(password: str) -> bytes:
    """Return what bcrypt sees: it takes 72 bytes without NUL, so anything else goes through SHA-256 first."""
    raw = password.encode("utf-8", "surrogatepass")
    return base64.b64encode(hashlib.sha256(raw).digest()) if len(raw) > 72 or b"\0" in raw else raw


def hash_now(password: str, rounds: int) -> str:
    """Return the hash of a password, on the caller's own thread."""
    return bcrypt.hashpw(_secret(password), bcrypt.gensalt(rounds)).decode()


def hash_generated(secret: str) -> str:
    """Return the cheapest hash: for secrets made here, with more entropy than any guessing could exhaust."""
    return hash_now(secret, 4)


def _rounds_of(hashed: str) -> int:
    return int(hashed.split("$")[2])


class Passwords:
    """The threads that hash."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.config.get(IdentitySettings)
        self.rounds = settings.password_hash_rounds
        self._threads = ThreadPoolExecutor(settings.password_hash_threads, "bcrypt")
        self._waiting = 0
        self._nobody = f"$2b${self.rounds:02d}${'.' * 53}".encode()
        """Looks like a hash of today's cost; no password is known for it."""

    async def hash(self, password: str) -> str:
        """Return the hash of a password at today's cost."""
        return await self._run(hash_now, password, self.rounds)

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Tell whether a password is the hashed one; None (nobody to compare with) takes as long and is False."""
        return await self._run(self._matches, password, hashed)

    def _matches(self, password: str, hashed: str | None) -> bool:
        secret = _secret(password)
        if hashed is not None and foreign_hashes.is_foreign(hashed):
            return foreign_hashes.matches(password, hashed)
        if hashed is not None:
            if bcrypt.checkpw(secret, hashed.encode()):
                return True
            if _rounds_of(hashed) >= self.rounds:
                return False
        bcrypt.checkpw(secret, self._nobody)
        return False

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= WAITING:
            raise Unavailable("Too many log-ins wait already; try again in a second.", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
