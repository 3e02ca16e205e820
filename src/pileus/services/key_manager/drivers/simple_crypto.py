"""Secrets in the database, sealed in software: AES-256-GCM, each project's key sealed with a master key.

Format of all that is sealed: 8 bytes that name the key, a nonce of 12 bytes, the ciphertext with its tag of 16 bytes
(NIST SP 800-38D; nonces are random, so that one key may seal 2**32 contents).  The master keys are files of 32 bytes in
a folder, readable by the cloud's user alone.
"""

import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pileus.kernel import ids
from pileus.kernel.config import Configuration
from pileus.kernel.errors import Unavailable
from pileus.kernel.key_folder import KeyFolder
from pileus.services.key_manager.model import KeyManagerSettings

KEY_BYTES, NAME_BYTES, NONCE_BYTES = 32, 8, 12


def _name(key: bytes) -> bytes:
    """Return what tells one key from another and nothing else of it."""
    return hashlib.sha256(b"key name\n" + key).digest()[:NAME_BYTES]


def seal(key: bytes, content: bytes, bound: bytes) -> bytes:
    """Return a content sealed with a key of 32 bytes; it opens only with the same ``bound``."""
    nonce = ids.random_bytes(NONCE_BYTES)
    return _name(key) + nonce + AESGCM(key).encrypt(nonce, content, bound)


def open_sealed(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """Return what was sealed; raise Unavailable where it is not what the key has sealed for ``bound``."""
    nonce, ciphertext = sealed[NAME_BYTES : NAME_BYTES + NONCE_BYTES], sealed[NAME_BYTES + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, bound)
    except (InvalidTag, ValueError):
        raise Unavailable(
            "What is kept of this secret is damaged or was moved here: restore the database from a backup."
        ) from None


class MasterKeys(KeyFolder):
    """The master keys; none is forgotten, because backups of the database rest on each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, None)

    def _make(self) -> bytes:
        return ids.random_bytes(KEY_BYTES)

    def _use(self, keys: list[bytes]) -> None:
        self.newest = keys[0]
        self.by_name = {_name(key): key for key in keys}

    def of(self, sealed: bytes) -> bytes:
        """Return the key that sealed something; raise Unavailable when it is not in the folder."""
        name = sealed[:NAME_BYTES]
        if name not in self.by_name:
            self.refresh()
        if name not in self.by_name:
            raise Unavailable(f"The master key of these secrets is not in {self.folder}: restore it from a backup.")
        return self.by_name[name]


class SimpleCrypto:
    """The driver."""

    plugin = "simple_crypto"
    name = "Software Only Crypto"

    def __init__(self, config: Configuration) -> None:
        chosen = config.get(KeyManagerSettings).master_keys
        self.keys = MasterKeys(Path(chosen) if chosen else config.state / "key_manager" / "master-keys")

    def make_key(self, bound: bytes) -> bytes:
        self.keys.refresh()
        return seal(self.keys.newest, ids.random_bytes(KEY_BYTES), bound)

    def reseal_key(self, sealed: bytes, bound: bytes) -> bytes | None:
        self.keys.refresh()
        master = self.keys.of(sealed)
        return None if master == self.keys.newest else seal(self.keys.newest, open_sealed(master, sealed, bound), bound)

    def seal(self, key: bytes, key_bound: bytes, content: bytes, bound: bytes) -> bytes:
        return seal(open_sealed(self.keys.of(key), key, key_bound), content, bound)

    def open(self, key: bytes, key_bound: bytes, sealed: bytes, bound: bytes) -> bytes:
        return open_sealed(open_sealed(self.keys.of(key), key, key_bound), sealed, bound)

    def rotate_master_key(self) -> None:
        self.keys.rotate()
