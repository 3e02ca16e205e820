"""Identifiers and randomness, seedable so that a simulation can be replayed.

Rule: nobody outside kernel, agents and drivers calls ``uuid4``, ``random`` or ``secrets``.
"""

import base64
import os
import random
import re
import uuid
from typing import TypeVar

T = TypeVar("T")
_random = random.Random()
_seeded = False
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)


def seed(value: int | None) -> None:
    """Make every later identifier follow from ``value``; ``None`` goes back to the system's entropy."""
    global _random, _seeded
    _random, _seeded = random.Random(value), value is not None


def random_bytes(count: int) -> bytes:
    """Return ``count`` bytes fit for secrets (unless seeded for a simulation)."""
    return _random.randbytes(count) if _seeded else os.urandom(count)


def new_id() -> str:
    """Return a fresh UUID, ``xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx``."""
    return str(uuid.UUID(bytes=random_bytes(16), version=4))


def new_hex_id() -> str:
    """Return a fresh UUID without dashes, as Identity writes its ids."""
    return uuid.UUID(bytes=random_bytes(16), version=4).hex


def new_request_id() -> str:
    """Return ``req-`` and a UUID."""
    return f"req-{new_id()}"


def new_secret(bytes_of_entropy: int = 32) -> str:
    """Return a URL-safe secret."""
    return base64.urlsafe_b64encode(random_bytes(bytes_of_entropy)).rstrip(b"=").decode()


def is_uuid(text: object) -> bool:
    """Tell whether ``text`` is a UUID, with or without dashes."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def jitter(seconds: float, share: float = 0.3) -> float:
    """Return ``seconds`` moved by up to ``share`` of itself either way, so that retries do not march in step."""
    return seconds * (1 + share * (2 * _random.random() - 1))
