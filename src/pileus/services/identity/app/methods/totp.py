"""A passcode of RFC 6238 (SHA-1, six digits, 30 s), from a secret that is a credential of type ``totp``.

Rule: a passcode counts once; wrong ones lock a user out as wrong passwords do; it takes as long to refuse one for a
user who is there as for one who is not.
"""

import base64
import binascii
import hmac
from functools import partial

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import compliance
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.app.methods.proof import Attempt, Proof, UserReference, find_user
from pileus.services.identity.app.secrets import TOTP, CredentialKeys
from pileus.services.identity.model import IdentitySettings
from pileus.services.identity.store import credentials

PERIOD_S = 30
DIGITS = 6


class UserWithPasscode(UserReference, kw_only=True):
    passcode: str


class TotpMethod(msgspec.Struct):
    """``auth.identity.totp``."""

    user: UserWithPasscode


class Decoy:
    """A sealed secret that nobody has, to be opened for users who have none."""

    def __init__(self, runtime: Runtime) -> None:
        self.sealed = runtime.part(CredentialKeys).encrypt(base64.b32encode(ids.random_bytes(20))).decode()


def prove(tx: Tx, attempt: Attempt, given: TotpMethod) -> Proof:
    """Return whose passcode it is; it is spent once everything else was proven too."""
    runtime = attempt.runtime
    user = find_user(tx, given.user)
    rows = credentials.list_credentials(tx, user.id if user else "", TOTP)
    sealed = [(row.id, row.sealed) for row in rows] or [("", runtime.part(Decoy).sealed)]
    now, windows = int(clock.now().timestamp()) // PERIOD_S, runtime.config.get(IdentitySettings).totp_previous_windows
    found: tuple[str, int] | None = None
    for id, text in sealed:
        step = _step(runtime, text, given.user.passcode, range(now - windows, now + 1))
        if step is not None and id:
            found = id, step
    rules = runtime.part(Rules)
    if user is None or found is None:
        failed = partial(compliance.count_failure, rules=rules, user_id=user.id if user is not None else "")
        return Proof(failed=failed if rules.attempts is not None else None)
    user_id, (credential_id, step) = user.id, found

    def spend(tx: Tx) -> None:
        if not credentials.spend_passcode(tx, credential_id, step):
            raise Unauthenticated(REFUSAL)

    def settle(tx: Tx) -> None:
        compliance.check_unlocked(tx, rules, user_id)

    return Proof(user_id=user_id, spend=spend, settle=settle)


def _step(runtime: Runtime, sealed: str, passcode: str, steps: range) -> int | None:
    """Return the step of time that a passcode belongs to, if any."""
    try:
        text = runtime.part(CredentialKeys).decrypt(sealed.encode()).strip()
        key = base64.b32decode(text + b"=" * (-len(text) % 8), casefold=True)
    except (binascii.Error, ValueError):
        return None
    given, found = passcode.encode("utf-8", "surrogatepass"), None
    for step in steps:
        if hmac.compare_digest(given, passcode_at(key, step)):
            found = step
    return found


def passcode_at(key: bytes, step: int) -> bytes:
    """Return the passcode of one step of time."""
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.hotp import HOTP

    return HOTP(key, DIGITS, SHA1(), enforce_key_length=False).generate(step)
