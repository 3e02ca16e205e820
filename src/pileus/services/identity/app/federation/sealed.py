"""What a browser or a client carries for us from one request to the next: a cookie that only this cloud can read."""

from typing import Any, TypeVar

import msgspec
from cryptography.fernet import InvalidToken

from pileus.kernel.rest import Request
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.secrets import CredentialKeys

T = TypeVar("T")


def seal(runtime: Runtime, value: Any) -> str:
    """Return a value as the text of a cookie."""
    return runtime.part(CredentialKeys).encrypt(msgspec.json.encode(value)).decode()


def opened(runtime: Runtime, request: Request, cookie: str, kind: type[T]) -> T | None:
    """Return what a cookie of the request holds; None for none, a forged one or one of another kind."""
    pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";"))
    sealed = next((value for name, _, value in pairs if name == cookie), "")
    try:
        return msgspec.json.decode(runtime.part(CredentialKeys).decrypt(sealed.encode()), type=kind)
    except (InvalidToken, msgspec.DecodeError):
        return None
