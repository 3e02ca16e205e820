"""Hashes that other programs have made: the four kinds of Keystone, so that people keep their passwords.

Rule: only checked, never made; whoever changes a password gets one of ours.
"""

import base64
import hashlib
import hmac

import bcrypt

CUT = "{cut}"
"""Before a bcrypt hash of a program that cuts secrets at 72 bytes, where ours hashes what is longer first."""
BCRYPT = ("$2$", "$2a$", "$2b$", "$2x$", "$2y$")
SCRYPT_MEMORY = 256 << 20


def adopted(hashed: str) -> str | None:
    """Return a Keystone's hash as it is kept here, None when it is of no kind that can be checked."""
    if hashed.startswith(BCRYPT):
        return f"{CUT}{hashed}"
    return hashed if hashed.startswith(("$bcrypt-sha256$", "$scrypt$", "$pbkdf2-sha512$")) else None


def is_foreign(hashed: str) -> bool:
    """Tell whether a hash is of another program's make."""
    return hashed.startswith((CUT, "$bcrypt-sha256$", "$scrypt$", "$pbkdf2-sha512$"))


def matches(password: str, hashed: str) -> bool:
    """Tell whether a password is the hashed one."""
    raw = password.encode("utf-8", "surrogatepass")
    if hashed.startswith(CUT):
        return b"\0" not in raw and bcrypt.checkpw(raw[:72], hashed.removeprefix(CUT).encode())
    _, kind, *parts = hashed.split("$")
    if kind == "scrypt":
        options = _options(parts[0])
        costs = {"n": 1 << int(options["ln"]), "r": int(options["r"]), "p": int(options["p"])}
        made = hashlib.scrypt(raw, salt=_bytes(parts[1]), **costs, maxmem=SCRYPT_MEMORY, dklen=32)
        return hmac.compare_digest(made, _bytes(parts[2]))
    if kind == "pbkdf2-sha512":
        made = hashlib.pbkdf2_hmac("sha512", raw, _bytes(parts[1]), int(parts[0]))
        return hmac.compare_digest(made, _bytes(parts[2]))
    options = _options(parts[0])
    digest = hmac.digest(parts[1].encode(), raw, "sha256") if options.get("v") == "2" else hashlib.sha256(raw).digest()
    whole = f"${options['t']}${int(options['r']):02d}${parts[1]}{parts[2]}"
    return bcrypt.checkpw(base64.b64encode(digest), whole.encode())


def _options(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(","))


def _bytes(text: str) -> bytes:
    """Return the bytes of base 64 without padding, with ``.`` for ``+`` where passlib wrote it."""
    return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4))
