"""Where volumes can live: the hosts that report a volume pool, and what administrators said of them."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import select

from pileus.kernel.agent import hosts
from pileus.kernel.db import Tx
from pileus.services.block_storage.model import ServiceFlags

SERVICE = "block_storage"
VOLUME_BINARY = "cinder-volume"


class PoolFacts(msgspec.Struct, frozen=True):
    """What the host's agent reports of its pool."""

    driver: str = "unknown"
    storage_protocol: str = "unknown"
    total_gib: float = 0
    free_gib: float = 0
    provisioned_gib: float = 0
    error: str | None = None

    @property
    def known(self) -> bool:
        """Tell whether the host has told of its pool: not while its driver fails."""
        return self.driver != "unknown"


class Backend(msgspec.Struct, frozen=True):
    """One pool on one host."""

    host: str
    up: bool
    facts: PoolFacts
    seen_at: datetime
    disabled: bool = False
    disabled_reason: str | None = None
    frozen: bool = False

    @property
    def name(self) -> str:
        """``host@backend``, as services are called."""
        return f"{self.host}@{self.facts.driver}"

    @property
    def pool(self) -> str:
        """``host@backend#pool``, as volumes carry it."""
        return f"{self.name}#{self.facts.driver}"


def list_backends(tx: Tx) -> list[Backend]:
    """Return every pool ever seen, by host."""
    flags = {row.host: row for row in flags_of(tx, VOLUME_BINARY).values()}
    found = []
    for row in hosts.every(tx):
        if SERVICE not in row.services:
            continue
        facts = msgspec.convert(row.facts.get(SERVICE, {}), PoolFacts)
        backend = Backend(host=row.name, up=row.state == hosts.UP, facts=facts, seen_at=row.last_seen_at)
        said = flags.get(backend.name)
        if said is not None:
            backend = msgspec.structs.replace(
                backend, disabled=said.disabled, disabled_reason=said.disabled_reason, frozen=said.frozen
            )
        found.append(backend)
    return found


def flags_of(tx: Tx, binary: str) -> Mapping[str, ServiceFlags]:
    """Return what administrators said of the services of one kind, by host."""
    return {row.host: row for row in tx.scalars(select(ServiceFlags).where(ServiceFlags.binary == binary))}
