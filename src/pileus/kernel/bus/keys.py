"""CURVE keys for agents on other machines.  Rule: over TCP only peers whose key is known are heard at all.

``folder`` holds ``control.secret`` and ``control.public`` of the control plane and ``hosts/<name>.public`` of every
host that may connect; a host keeps ``<name>.secret`` and a copy of ``control.public``.  Keys are Z85 text.
"""

from dataclasses import dataclass
from pathlib import Path

import zmq

from pileus.kernel.files import write_durably


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One party's keys."""

    public: bytes
    secret: bytes


def ensure_pair(folder: Path, name: str) -> KeyPair:
    """Return the key pair called ``name``, made at the first call; the secret is readable by its owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret, public = folder / f"{name}.secret", folder / f"{name}.public"
    if not secret.exists():
        made_public, made_secret = zmq.curve_keypair()
        public.write_bytes(made_public)
        write_durably(secret, made_secret)
    read = secret.read_bytes().strip()
    return KeyPair(zmq.curve_public(read), read)


def host_of(folder: Path, key: bytes) -> str | None:
    """Return the name of the host that may connect with ``key``, ``None`` for a stranger."""
    for path in (folder / "hosts").glob("*.public"):
        if path.read_bytes().strip() == key:
            return path.stem
    return None


def admit_host(folder: Path, name: str, key: bytes) -> None:
    """Let a host connect."""
    hosts = folder / "hosts"
    hosts.mkdir(mode=0o700, parents=True, exist_ok=True)
    (hosts / f"{name}.public").write_bytes(key)
