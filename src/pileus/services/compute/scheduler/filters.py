"""Who may have the server.  Rule: a filter answers None, or in a few words why this host may not."""

from collections.abc import Callable

from pileus.services.compute.scheduler.model import Candidate, Demand

Filter = Callable[[Candidate, Demand], str | None]
_WORDS = {"MEMORY_MB": ("MB", "memory"), "VCPU": ("", "virtual processors"), "DISK_GB": ("GB", "disk")}
_SCOPE = "aggregate_instance_extra_specs:"


def is_up(host: Candidate, demand: Demand) -> str | None:
    """Its agent is heard."""
    return None if host.up else "is down"


def is_enabled(host: Candidate, demand: Demand) -> str | None:
    """The operator has not disabled it."""
    if host.enabled:
        return None
    return f"is disabled ({host.disabled_reason})" if host.disabled_reason else "is disabled"


def is_named(host: Candidate, demand: Demand) -> str | None:
    """It is the host that was asked for, if one was."""
    return None if demand.host in (None, host.name) else f"is not {demand.host}"


def is_not_excluded(host: Candidate, demand: Demand) -> str | None:
    """It is not one the server leaves, or has failed on."""
    return "is excluded" if host.name in demand.exclude else None


def in_zone(host: Candidate, demand: Demand) -> str | None:
    """It is in the availability zone that was asked for."""
    return None if demand.zone in (None, host.zone) else f"is in zone {host.zone}, not {demand.zone}"


def has_room(host: Candidate, demand: Demand) -> str | None:
    """It has what the flavor needs; names the first resource that is short, and by how much."""
    for name, amount in demand.resources.items():
        if amount > host.free(name):
            unit, words = _WORDS.get(name, ("", name))
            return f"lacks {' '.join(filter(None, (str(amount), unit)))} of {words} (has {max(host.free(name), 0)})"
    return None


def has_traits(host: Candidate, demand: Demand) -> str | None:
    """It has the traits the flavor requires and none that it forbids."""
    for key, value in demand.extra_specs.items():
        if not key.startswith("trait:"):
            continue
        trait = key.removeprefix("trait:")
        if value == "required" and trait not in host.traits:
            return f"lacks the trait {trait}"
        if value == "forbidden" and trait in host.traits:
            return f"has the forbidden trait {trait}"
    return None


def suits_aggregates(host: Candidate, demand: Demand) -> str | None:
    """Its aggregates carry the metadata that the flavor's extra specs ask for."""
    for key, wanted in demand.extra_specs.items():
        if not key.startswith(_SCOPE):
            continue
        name = key.removeprefix(_SCOPE)
        if not any(wanted in metadata.get(name, "").split(",") for metadata in host.aggregates):
            return f"is in no aggregate with {name}={wanted}"
    return None


def admits_project(host: Candidate, demand: Demand) -> str | None:
    """Its aggregates are not kept for other projects."""
    kept = {
        project
        for metadata in host.aggregates
        for key, value in metadata.items()
        if key.startswith("filter_tenant_id")
        for project in value.split(",")
    }
    return None if not kept or demand.project_id in kept else "is kept for other projects"


def keeps_apart(host: Candidate, demand: Demand) -> str | None:
    """It has none of the servers that the hint ``different_host`` names."""
    return "has a server it shall be apart from" if host.name in demand.different_from else None


def keeps_together(host: Candidate, demand: Demand) -> str | None:
    """It has one of the servers that the hint ``same_host`` names."""
    if demand.same_as is None or host.name in demand.same_as:
        return None
    return "has none of the servers it shall be with"


def suits_group(host: Candidate, demand: Demand) -> str | None:
    """It agrees with the server group's policy."""
    here = demand.group_hosts.get(host.name, 0)
    if demand.group_policy == "anti-affinity" and here >= demand.max_per_host:
        return f"has {here} of its anti-affinity group"
    if demand.group_policy == "affinity" and demand.group_hosts and not here:
        return "is not the host of its affinity group"
    return None


FILTERS: tuple[Filter, ...] = (
    is_not_excluded,
    is_up,
    is_enabled,
    is_named,
    in_zone,
    suits_aggregates,
    admits_project,
    has_traits,
    keeps_apart,
    keeps_together,
    suits_group,
    has_room,
)
FORCED: tuple[Filter, ...] = (is_up, is_named, has_room)
"""For a host forced by an administrator."""
