"""Passcodes as RFC 6238 tells, computed from the standard library alone."""

import base64
import hmac
import struct

from pileus.kernel import clock

SECRET = base64.b32encode(b"12345678901234567890").decode()


def passcode(secret: str = SECRET, at: float | None = None) -> str:
    """Return the passcode of a moment, by default of now."""
    counter = struct.pack(">Q", int(clock.now().timestamp() if at is None else at) // 30)
    mac = hmac.digest(base64.b32decode(secret), counter, "sha1")
    offset = mac[-1] & 15
    return f"{(int.from_bytes(mac[offset : offset + 4], 'big') & 0x7FFFFFFF) % 10**6:06d}"
