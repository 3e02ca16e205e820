"""Fernet tokens: what is sealed in them, and the keys.

Rule: a token carries ids and times only; everything else is looked up, so that it is never out of date.
Key repository: ``STATE/identity/fernet-keys`` (``kernel.key_folder``).
"""

import base64
from datetime import UTC, datetime

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pileus.kernel import clock, ids
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.key_folder import KeyFolder
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


class FernetKeys(KeyFolder):
    """Fernet keys in a folder."""

    def _make(self) -> bytes:
        return base64.urlsafe_b64encode(ids.random_bytes(32))

    def _use(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, content: bytes) -> bytes:
        """Return the content sealed with the newest key."""
        self.refresh()
        return self._fernet.encrypt_at_time(content, int(clock.now().timestamp()))

    def decrypt(self, sealed: bytes) -> bytes:
        """Return what was sealed; raise InvalidToken when none of the keys did it."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            if not self.refresh():
                raise
            return self._fernet.decrypt(sealed)


class TokenKeys(FernetKeys):
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
