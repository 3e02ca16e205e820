"""What in a state directory is the cloud's own.

Rules: a cloud is begun only in a directory that is empty but for what operators put there; a purge removes only what
the cloud has made.  ``tests/unit/cli/test_state.py`` compares this list with what a cloud that was used has made.
"""

import pkgutil
import shutil
from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path

import pileus.services

SETTINGS, POLICY = "pileus.toml", "policy.yaml"
OPERATORS = (SETTINGS, POLICY)
"""Written by operators, also before the first start; a purge leaves them."""
LOGS = "logs"
CERTIFICATES = "certificates"
"""The folder of the cloud's own CA and the certificate it has signed."""
CA = "ca.pem"
"""In it: what clients are to trust."""
MADE = (
    "cloud.json",
    "credentials.json",
    "pileus.db*",
    "run",
    "snapshots",
    LOGS,
    "cache",
    CERTIFICATES,
    "demo-key",
    "demo-key.pub",
    "*.lock",
    ".*.part",  # of a file whose writer died before it was whole
    *(module.name for module in pkgutil.iter_modules(pileus.services.__path__)),
)
"""Patterns of the names of what a cloud makes: each service has one folder, called like it."""


def is_made(name: str) -> bool:
    """Tell whether a cloud makes a thing of this name in its directory."""
    return any(fnmatch(name, pattern) for pattern in MADE)


def in_the_way(state: Path) -> list[str]:
    """Return the names in a directory that keep a first cloud out of it.

    What operators prepare is none, nor a file that their settings name, nor the logs of a start that failed.
    """
    if not state.exists():
        return []
    settings = state / SETTINGS
    named = settings.read_text(errors="replace") if settings.is_file() else ""
    fine = (*OPERATORS, "change.lock")
    found = [path for path in sorted(state.iterdir()) if path.name not in fine and path.name not in named]
    return [path.name for path in found if not (path.name == LOGS and _only_logs(path))]


def remove_made(state: Path, *, keep: Collection[str] = ()) -> list[str]:
    """Remove what the cloud has made, and the directory when nothing else is in it; return the names of what is left.

    A link to a directory goes as a link: what it points to may be another's.
    """
    for path in list(state.iterdir()):
        if not is_made(path.name) or path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    left = sorted(path.name for path in state.iterdir())
    if not left:
        state.resolve().rmdir()
        if state.is_symlink():
            state.unlink()
    return left


def _only_logs(folder: Path) -> bool:
    return folder.is_dir() and all(path.name in ("server.log", "agent.log") for path in folder.iterdir())
