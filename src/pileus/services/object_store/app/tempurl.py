"""Temporary URLs: whoever holds the signature may use one method on one object (or prefix) for a while.

Signed text: https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from pileus.kernel import clock
from pileus.kernel.errors import Unauthenticated
from pileus.services.object_store.app.objects import Path
from pileus.services.object_store.store import Found

DIGESTS = ("sha1", "sha256", "sha512")
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
KEY = "x-account-meta-temp-url-key"
MOUNT = "/object-store/v1"
_BY_LENGTH = {hashlib.new(name).digest_size * 2: name for name in DIGESTS}


def keys_of(found: Found) -> list[tuple[str, str]]:
    """Return what each key may sign for, and the key: the account's two and the container's two."""
    keys = []
    for row, kind in ((found.account, "account"), (found.container, "container")):
        if row is not None:
            keys += [(kind, row.headers.get(f"x-{kind}-meta-temp-url-key{number}", "")) for number in ("", "-2")]
    return [(kind, key) for kind, key in keys if key]


def check(
    method: str,
    paths: Iterable[str],
    path: Path,
    query: Mapping[str, str],
    source_ip: str | None,
    keys: list[tuple[str, str]],
) -> str:
    """Return what the signature opens, ``account`` or ``container``.  Raises Unauthenticated when it opens nothing.

    ``paths`` are the spellings of the object's path that clients sign: with and without the mount point.
    """
    expires = _moment(query.get("temp_url_expires", ""))
    if expires is None or expires <= clock.now().timestamp():
        raise Unauthenticated("Temp URL invalid: temp_url_expires is missing or past.")
    digest, signature = _signature(query.get("temp_url_sig", ""))
    prefix = query.get("temp_url_prefix")
    if prefix is not None and not path.name.startswith(prefix):
        raise Unauthenticated("Temp URL invalid: the object does not start with temp_url_prefix.")
    allowed_ip = query.get("temp_url_ip_range")
    if allowed_ip is not None and not _within(source_ip, allowed_ip):
        raise Unauthenticated("Temp URL invalid: it is not valid from this address.")
    signed_methods = ("HEAD", "GET", "PUT", "POST") if method == "HEAD" else (method,)
    for signed_path in paths:
        if prefix is not None:
            signed_path = f"prefix:{signed_path[: len(signed_path) - len(path.name)]}{prefix}"
        for signed_method in signed_methods:
            text = f"{signed_method}\n{query['temp_url_expires']}\n{signed_path}"
            text = f"ip={allowed_ip}\n{text}" if allowed_ip is not None else text
            stamped = f"{signed_method}\n{int(expires)}\n{signed_path}"
            stamped = f"ip={allowed_ip}\n{stamped}" if allowed_ip is not None else stamped
            for scope, key in keys:
                for candidate in {text, stamped}:
                    mine = hmac.new(key.encode(), candidate.encode(), digest).digest()
                    if hmac.compare_digest(mine, signature):
                        return scope
    raise Unauthenticated("Temp URL invalid: the signature fits neither of the account's and container's keys.")


def sign(path: Path, key: str, expires_s: int) -> str:
    """Return the URL, below the cloud's base URL, that lets its holder GET an object until then."""
    where = quote(f"{MOUNT}{path}")
    signature = hmac.new(key.encode(), f"GET\n{expires_s}\n{where}".encode(), "sha256").hexdigest()
    return f"{where}?temp_url_sig={signature}&temp_url_expires={expires_s}"


def _signature(text: str) -> tuple[str, bytes]:
    """Read a signature: hexadecimal, or ``sha512:`` and base64."""
    name, colon, value = text.partition(":")
    try:
        if colon and name in DIGESTS:
            padded = value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4)
            return name, base64.b64decode(padded)
        if len(text) in _BY_LENGTH:
            return _BY_LENGTH[len(text)], bytes.fromhex(text)
    except (ValueError, binascii.Error):
        pass
    raise Unauthenticated(f"Temp URL invalid: temp_url_sig must be a digest of {', '.join(DIGESTS)}.")


def _moment(text: str) -> float | None:
    if text.isdigit() and len(text) < 12:
        return float(text)
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None


def _within(address: str | None, network: str) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
