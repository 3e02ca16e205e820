"""Contents on their way in and out: their media types and encodings.

Rule: a row knows the media type without its parameters; text is UTF-8.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from pileus.kernel import clock
from pileus.kernel.errors import ApiError, Invalid, NotAcceptable, TooLarge
from pileus.services.key_manager.model import MOST_SECRET_BYTES, KeyManagerSettings

TEXT, BINARY, PKCS8 = "text/plain", "application/octet-stream", "application/pkcs8"
TYPES = (TEXT, BINARY, PKCS8)
JSON_TYPES = ("application/json", "*/*")


class UnsupportedMediaType(ApiError):
    """The body's type is none that a secret can have."""

    status, title = 415, "Unsupported Media Type"


def media_type(given: str) -> str | None:
    """Return the plain media type of a header or a body's field, None where no secret can have it."""
    name, _, parameters = (part.strip().lower() for part in given.partition(";"))
    if parameters and (name != TEXT or parameters.replace(" ", "") != "charset=utf-8"):
        return None
    return name if name in TYPES else None


def content_of_body(body: Any, settings: KeyManagerSettings) -> tuple[bytes, str] | None:
    """Return the payload of a creation and its media type, None without one; raise Invalid."""
    given, encoding = body.payload_content_type, body.payload_content_encoding
    if body.payload is None:
        if given is not None or encoding is not None:
            raise Invalid("payload must be provided when payload_content_type or its encoding is specified.")
        return None
    if not body.payload:
        raise Invalid("If 'payload' is specified, it must be non empty.")
    if given is None:
        raise Invalid("If 'payload' is supplied, 'payload_content_type' must also be supplied.")
    kind = media_type(given)
    if kind is None:
        raise Invalid(f"payload_content_type is not one of {', '.join(TYPES)}.")
    if (kind == TEXT) == (encoding == "base64"):
        wanted = "absent for text/plain" if kind == TEXT else f"base64 for {kind}"
        raise Invalid(f"payload_content_encoding must be {wanted}.")
    content = body.payload.encode() if kind == TEXT else _decoded(body.payload)
    return _small(content, settings), kind


def content_of_request(content: bytes, given: str, encoding: str, settings: KeyManagerSettings) -> tuple[bytes, str]:
    """Return the body of a PUT as content and media type; raise Invalid or UnsupportedMediaType."""
    kind = media_type(given)
    if kind is None or kind == PKCS8:
        raise UnsupportedMediaType(f"Content-Type of '{given[:64]}' is not supported for PUT: send {TEXT} or {BINARY}.")
    if not content:
        raise Invalid("No information provided to process: the request has no body.")
    if encoding and (encoding.lower() != "base64" or kind == TEXT):
        raise Invalid(f"Content-Encoding of '{encoding[:64]}' is not supported: base64 of {BINARY} is, or none.")
    if kind == TEXT:
        try:
            content.decode()
        except UnicodeDecodeError:
            raise Invalid("The payload is text/plain, but it is not UTF-8.") from None
    return _small(_decoded(content.decode("latin-1")) if encoding else content, settings), kind


def expiration(given: str | None) -> datetime | None:
    """Return the moment that a body names, in UTC unless it says otherwise; raise Invalid for one that has passed."""
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid("Invalid date for 'expiration': write it as 2030-01-31T09:30:00.") from None
    if found <= clock.now():
        raise Invalid("'expiration' is before current time: choose a later one, or none.")
    return found


def accepted(accept: str, stored: str) -> str:
    """Return the media type to answer with; raise NotAcceptable when none is accepted.

    No header stands for octets, as upstream; ``*/*`` for what was stored.
    """
    for one in (accept or BINARY).split(","):
        name, _, parameters = (part.strip() for part in one.partition(";"))
        if name == "*/*":
            return stored or BINARY
        kind = media_type(name if parameters.startswith("q=") else one)
        if kind is not None:
            return kind
    raise NotAcceptable(f"Accept must name one of {', '.join(TYPES)}, not {accept[:64]}.")


def shown(content: bytes, kind: str) -> bytes:
    """Return what is answered; raise NotAcceptable for octets that are no text where text is asked for."""
    if kind == TEXT:
        try:
            content.decode()
        except UnicodeDecodeError:
            raise NotAcceptable(f"This secret is no text: ask for {BINARY}.") from None
    return content


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("Invalid payload for payload_content_encoding: it is not base64.") from None


def _small(content: bytes, settings: KeyManagerSettings) -> bytes:
    most = min(settings.max_secret_bytes, MOST_SECRET_BYTES)
    if len(content) > most:
        raise TooLarge(f"Provided information too large to process: a secret has {most} bytes at most.")
    if not content:
        raise Invalid("If 'payload' is specified, it must be non empty.")
    return content
