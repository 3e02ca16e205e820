"""Who should have the server.  Rule: a weigher answers a number; larger is better; scales are levelled elsewhere."""

from collections.abc import Callable

from pileus.services.compute.scheduler.model import Candidate, Demand

Weigher = Callable[[Candidate, Demand], float]


def free_memory(host: Candidate, demand: Demand) -> float:
    """Spread by free memory."""
    return host.free("MEMORY_MB")


def free_processors(host: Candidate, demand: Demand) -> float:
    """Spread by free processors."""
    return host.free("VCPU")


def free_disk(host: Candidate, demand: Demand) -> float:
    """Spread by free disk."""
    return host.free("DISK_GB")


def few_builds(host: Candidate, demand: Demand) -> float:
    """Leave alone hosts that are busy building."""
    return -host.building


def group_spread(host: Candidate, demand: Demand) -> float:
    """Follow the soft policies of server groups."""
    here = demand.group_hosts.get(host.name, 0)
    if demand.group_policy == "soft-affinity":
        return here
    return -here if demand.group_policy == "soft-anti-affinity" else 0


WEIGHERS: tuple[tuple[Weigher, float, str], ...] = (
    (free_memory, 1.0, "MEMORY_MB"),
    (free_processors, 1.0, "VCPU"),
    (free_disk, 1.0, "DISK_GB"),
    (few_builds, 1.0, ""),
    (group_spread, 10.0, ""),
)
"""Each with its weight, after its values have been brought to 0 ... 1, and the resource class that it looks at."""
