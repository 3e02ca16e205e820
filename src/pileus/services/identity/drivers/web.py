"""Small requests to other people's servers, on a thread.

Rule: redirects are not followed and answers are bounded: whom we ask is what an administrator wrote down, nobody else.
"""

import asyncio
import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from pileus.kernel.errors import Unavailable

TIMEOUT_S = 10
LIMIT_BYTES = 1 << 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    url: str
    status: int
    media_type: str
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the object in the body; raise Unavailable when there is none."""
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            found = None
        if not isinstance(found, dict):
            raise Unavailable(f"{self.url} answered {self.status} with something that is no JSON object.")
        return found


def is_safe(url: str) -> bool:
    """Tell whether secrets may be sent to a URL: over TLS, or to this machine itself."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


async def fetch(
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    ca_file: str | None = None,
) -> Answer:
    """GET a URL, or POST a form to it; raise Unavailable when its server cannot be reached."""
    if not is_safe(url):
        raise Unavailable(f"{url} is not asked: only https addresses are, or http ones of this machine.")
    return await asyncio.to_thread(_fetch, url, form, dict(headers or {}), ca_file)


def _fetch(url: str, form: Mapping[str, str] | None, headers: dict[str, str], ca_file: str | None) -> Answer:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file)
            connection = http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=context)
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
        target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        headers = {"Accept": "application/json", "Connection": "close", **headers}
        body = None
        if form is not None:
            body = urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request("GET" if form is None else "POST", target, body, headers)
            response = connection.getresponse()
            content = response.read(LIMIT_BYTES + 1)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{url} cannot be reached: {error}. Try again later.") from error
    if len(content) > LIMIT_BYTES:
        raise Unavailable(f"{url} answered with more than {LIMIT_BYTES} bytes.")
    media_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    return Answer(url, response.status, media_type, content)
