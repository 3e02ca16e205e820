"""Fernet tokens: what is sealed in them, and the keys.

Rule: a token carries ids and times only; everything else is looked up, so that it is never out of date.
Key repository: files named by number in ``STATE/identity/fernet-keys``; 0 is the next key, the highest signs,
the others only open what they once signed. Rotation makes 0 the highest and adds a new 0.
"""

import base64
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pileus.kernel import clock, ids
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.files import write_durably
from pileus.kernel.runtime import Runtime
from pileus.services.identity.model import IdentitySettings

LONGEST = 2048
"""Characters of a token at most; longer text is refused unopened."""
REFUSAL = "The request you have made requires authentication."


class Payload(msgspec.Struct, array_like=True, frozen=True):
    """What a token says.  ``scope``: ``""`` unscoped, ``p`` project, ``d`` domain, ``s`` system."""

    version: int
    user_id: str
    methods: tuple[str, ...]
    scope: str
    scope_id: str
    issued_us: int
    expires_us: int
    audit_ids: tuple[str, ...]
    application_credential_id: str | None = None
    trust_id: str | None = None
    access_token_id: str | None = None
    """Of OAuth 1."""
    thumbprint: str | None = None
    """Of the client certificate that it works with only."""
    whence: tuple[str, str] | None = None
    """Of somebody whom another vouched for: the identity provider and the protocol."""

    @property
    def project_id(self) -> str | None:
        return self.scope_id if self.scope == "p" else None

    @property
    def domain_id(self) -> str | None:
        return self.scope_id if self.scope == "d" else None

    @property
    def issued_at(self) -> datetime:
        return datetime.fromtimestamp(self.issued_us / 1e6, UTC)

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.expires_us / 1e6, UTC)


def microseconds(moment: datetime) -> int:
    """Return a moment as whole microseconds since the epoch."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def new_audit_id() -> str:
    """Return the id under which audit records name a token without showing it."""
    return base64.urlsafe_b64encode(ids.random_bytes(16)).rstrip(b"=").decode()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Payload).decode


class KeyFolder:
    """Keys in a folder, of Fernet unless a subclass makes others; another process's rotation is noticed."""

    def __init__(self, folder: Path, max_active: int | None) -> None:
        self.folder = folder
        self._max_active = max_active
        self._stamp = -1
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            for number in (0, 1) if not self._numbers() else (0,):
                if not (self.folder / str(number)).exists():
                    self._write(number)
        self._load()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of this cloud from changing the keys meanwhile."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _numbers(self) -> list[int]:
        return sorted(int(path.name) for path in self.folder.glob("*") if path.name.isdigit())

    def _write(self, number: int) -> None:
        write_durably(self.folder / str(number), self._make())

    def _load(self) -> None:
        with self._locked():
            self._stamp = self.folder.stat().st_mtime_ns
            keys = [(self.folder / str(number)).read_bytes() for number in reversed(self._numbers())]
        self._use(keys)

    def _make(self) -> bytes:
        """Return a new key as its file holds it."""
        return base64.urlsafe_b64encode(ids.random_bytes(32))

    def _use(self, keys: list[bytes]) -> None:
        """Use these keys from now on, the signing one first."""
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def rotate(self, older_than_s: float = 0) -> bool:
        """Let the next key sign from now on, make a new next one, forget those beyond the number kept (if any).

        Nothing happens, and False is returned, when the last rotation is not ``older_than_s`` seconds ago.
        """
        with self._locked():
            if clock.now().timestamp() - (self.folder / "0").stat().st_mtime < older_than_s:
                return False
            (self.folder / "0").rename(self.folder / str(self._numbers()[-1] + 1))
            self._write(0)
            signing = self._numbers()[1:]
            kept = len(signing) if self._max_active is None else max(1, self._max_active - 1)
            for number in signing[:-kept]:
                (self.folder / str(number)).unlink()
        self._load()
        return True

    def _refresh(self) -> bool:
        """Read the keys again when the folder has changed; tell whether it had."""
        if self.folder.stat().st_mtime_ns == self._stamp:
            return False
        self._load()
        return True

    def encrypt(self, content: bytes) -> bytes:
        """Return the content sealed with the newest key."""
        self._refresh()
        return self._fernet.encrypt_at_time(content, int(clock.now().timestamp()))

    def decrypt(self, sealed: bytes) -> bytes:
        """Return what was sealed; raise InvalidToken when none of the keys did it."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            if not self._refresh():
                raise
            return self._fernet.decrypt(sealed)


class TokenKeys(KeyFolder):
    """The keys of one cloud's tokens."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.config.get(IdentitySettings)
        super().__init__(runtime.config.state / "identity" / "fernet-keys", settings.max_active_keys)

    def seal(self, payload: Payload) -> str:
        """Return the token's text."""
        return self.encrypt(_encode(payload)).rstrip(b"=").decode()

    def open(self, token: str) -> Payload:
        """Return what a token says; raise Unauthenticated when none of our keys made it."""
        if len(token) > LONGEST or not token.isascii():
            raise Unauthenticated(REFUSAL)
        try:
            return _decode(self.decrypt(token.encode() + b"=" * (-len(token) % 4)))
        except (InvalidToken, msgspec.DecodeError, ValueError):
            raise Unauthenticated(REFUSAL) from None
