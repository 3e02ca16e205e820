"""The passwords of a new cloud's first users, hashed while the rest of the program is still being imported.

Rule: imports next to nothing, so that the hashing, which is slow on purpose, begins at once and on another core.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import bcrypt

from pileus.kernel import ids

PEOPLE = {
    "admin": [("admin", "admin"), ("demo", "admin")],
    "demo": [("demo", "member"), ("invisible_to_admin", "member")],
    "alt_demo": [("alt_demo", "member")],
}
"""User to (project, role): the first project is the one in its credentials."""
ROUNDS = 12
"""The cost of bcrypt: two to this power."""

_begun: dict[str, tuple[str, Future[str]]] = {}


def begin() -> None:
    """Make up passwords and begin to hash them."""
    threads = ThreadPoolExecutor(len(PEOPLE), "first-passwords")
    for name in PEOPLE:
        password = ids.new_secret(24)
        _begun[name] = password, threads.submit(_hash, password)
    threads.shutdown(wait=False)


def password_of(name: str) -> str:
    """Return the password made up for a first user."""
    return _begun[name][0] if name in _begun else ids.new_secret(24)


def hash_of(name: str, password: str, rounds: int) -> str | None:
    """Return the hash of a first user's password at this cost, if it was begun; wait for it."""
    made_up, hashed = _begun.get(name, (None, None))
    if hashed is None or made_up != password or rounds != ROUNDS:
        return None
    return hashed.result()


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()
