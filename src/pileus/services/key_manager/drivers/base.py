"""What a secret store's driver can do: one project key after another, and contents sealed with them.

Rule: a driver gets and returns bytes; what they belong to is bound into them as ``bound``, so that a row's content
opens in no other row.
"""

from collections.abc import Callable
from typing import Protocol

from pileus.kernel.config import Configuration


class CryptoDriver(Protocol):
    """A way to seal secrets."""

    plugin: str
    """Its name in the API's ``crypto_plugin``."""
    name: str
    """What people call it."""

    def make_key(self, bound: bytes) -> bytes:
        """Return a new project key, sealed with the master key."""
        ...

    def reseal_key(self, sealed: bytes, bound: bytes) -> bytes | None:
        """Return a project key sealed with the newest master key; None when it is already."""
        ...

    def seal(self, key: bytes, key_bound: bytes, content: bytes, bound: bytes) -> bytes:
        """Return a content sealed with a project key."""
        ...

    def open(self, key: bytes, key_bound: bytes, sealed: bytes, bound: bytes) -> bytes:
        """Return a content; raise Unavailable when the keys for it are gone."""
        ...

    def rotate_master_key(self) -> None:
        """Have a new master key for what is sealed from now on."""
        ...


MakeDriver = Callable[[Configuration], CryptoDriver]
