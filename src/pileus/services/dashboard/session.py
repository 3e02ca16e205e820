"""Who is logged in: a cookie that only this cloud can read, and the form token that guards every change.

Rule: the server keeps no sessions; the cookie holds the user's own token, encrypted, so nothing can be done
with a page that cannot be done with the APIs.
"""

import hmac
import os
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from starlette.requests import Request
from starlette.responses import Response

from pileus.kernel.files import sync_folder

COOKIE = "pileus_session"
MAX_AGE_S = 12 * 3600


class Session(msgspec.Struct, frozen=True):
    """What the cookie says."""

    token: str
    user: str
    project_id: str
    project: str
    form_token: str


class Sessions:
    """Seals and opens cookies."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fernet = Fernet(_key(folder / "cookie.key"))

    def open(self, request: Request) -> Session | None:
        """Return the session of a request; a forged, foreign or old cookie is none."""
        sealed = request.cookies.get(COOKIE)
        if not sealed:
            return None
        try:
            return msgspec.json.decode(self._fernet.decrypt(sealed.encode(), ttl=MAX_AGE_S), type=Session)
        except (InvalidToken, msgspec.DecodeError, UnicodeEncodeError):
            return None

    def put(self, response: Response, session: Session, *, secure: bool) -> None:
        """Write the session's cookie."""
        sealed = self._fernet.encrypt(msgspec.json.encode(session)).decode()
        response.set_cookie(
            COOKIE, sealed, max_age=MAX_AGE_S, path="/dashboard", httponly=True, samesite="lax", secure=secure
        )

    def forget(self, response: Response) -> None:
        """Remove the cookie."""
        response.delete_cookie(COOKIE, path="/dashboard")


def is_genuine(session: Session, given: object) -> bool:
    """Tell whether a form was made by a page of this session."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), session.form_token.encode())


def _key(path: Path) -> bytes:
    """Return the cookie key, made at first use; another process that is faster wins."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return path.read_bytes()
