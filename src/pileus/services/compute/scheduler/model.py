"""What the scheduler looks at.  Rule: values only; whoever asks has read them in the transaction that will claim."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Demand:
    """What a server needs of its host.  ``resources`` maps resource class to amount (``MEMORY_MB`` to 512)."""

    resources: dict[str, int]
    zone: str | None = None
    host: str | None = None
    """The one host an administrator asked for."""
    forced: bool = False
    """Whether that host was forced with ``zone:host``: then only its capacity is asked."""
    exclude: frozenset[str] = frozenset()
    extra_specs: dict[str, str] = field(default_factory=dict)
    image_properties: dict[str, Any] = field(default_factory=dict)
    different_from: frozenset[str] = frozenset()
    """Hosts of the servers it shall not share a host with."""
    same_as: frozenset[str] | None = None
    """Hosts of the servers it shall share a host with."""
    group_policy: str | None = None
    group_hosts: dict[str, int] = field(default_factory=dict)
    """How many members of its group each host has."""
    max_per_host: int = 1
    project_id: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host as it is now.  ``capacity`` holds what may be allocated in all, ``used`` what is."""

    name: str
    zone: str
    id: str = ""
    """Of its row, which is that of its resource provider."""
    up: bool = True
    enabled: bool = True
    disabled_reason: str | None = None
    capacity: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    servers: int = 0
    building: int = 0
    traits: frozenset[str] = frozenset()
    aggregates: tuple[dict[str, str], ...] = ()
    """The metadata of each aggregate it is in."""

    def free(self, resource_class: str) -> int:
        """Return how much of a resource class is left."""
        return self.capacity.get(resource_class, 0) - self.used.get(resource_class, 0)
