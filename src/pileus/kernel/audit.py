"""Where audit records go: a file of one JSON object a line, or the program's own log.

Rule: a record names people and things by id; no secret is ever in one.
"""

import logging
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from pileus.kernel.config import ConfigError, Settings
from pileus.kernel.runtime import Runtime

log = logging.getLogger("pileus.audit")


class AuditSettings(Settings, frozen=True):
    """Table ``[audit]``."""

    enabled: bool = True
    """Keep the audit log."""
    sink: str = "file"
    """``file``, or ``log``: lines of the program's log, for those who collect that."""
    file: str = "logs/audit.log"
    """Below the state directory unless it is an absolute path; it may be moved away at any time (logrotate)."""
    sign_ins: bool = True
    """Record every log-in, good or not, besides every change."""
    refusals: bool = True
    """Record every change that was refused to somebody."""


class AuditLog:
    """The sink of one cloud."""

    def __init__(self, runtime: Runtime) -> None:
        self.settings = runtime.config.get(AuditSettings)
        if self.settings.sink not in ("file", "log"):
            raise ConfigError(f"table [audit]: sink is 'file' or 'log', not {self.settings.sink!r}")
        self.path: Path = runtime.config.state / self.settings.file
        self.publisher = f"identity.{socket.gethostname()}"
        self._file: int | None = None

    def write(self, record: dict[str, Any]) -> None:
        """Add one record; it is in the operating system's hands when this returns."""
        if self.settings.sink == "log":
            log.info("audit", extra={"audit": record})
        else:
            os.write(self._open(), msgspec.json.encode(record) + b"\n")

    def _open(self) -> int:
        """Return the open file; one that was moved away or removed is opened anew."""
        if self._file is not None:
            try:
                here, there = os.fstat(self._file), self.path.stat()
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return self._file
            except FileNotFoundError:
                pass
            os.close(self._file)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self._file

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
