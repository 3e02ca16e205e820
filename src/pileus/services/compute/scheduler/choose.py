"""The choice itself.  Rule: the same hosts and the same demand give the same host; ties go by name."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pileus.kernel.errors import Conflict
from pileus.services.compute.scheduler.filters import FILTERS, FORCED
from pileus.services.compute.scheduler.model import Candidate, Demand
from pileus.services.compute.scheduler.weighers import WEIGHERS

Spans = Mapping[str, tuple[int, int]]
LISTED = 3
"""Reasons that are spelled out at most; the rest are counted."""


class NoValidHost(Conflict):
    """No host may have the server; the sentence says why, host by host or together."""


def choose(hosts: Sequence[Candidate], demand: Demand, spans: Spans | None = None) -> list[str]:
    """Return the names of the hosts that may have the server, best first; raise NoValidHost when there is none.

    ``spans``: least and most free of each resource class in the whole fleet, where ``hosts`` are a sample of it: a
    sample is weighed on the fleet's scale.
    """
    refused: dict[str, str] = {}
    fit = []
    for host in hosts:
        reason = _refusal(host, demand)
        if reason is None:
            fit.append(host)
        else:
            refused[host.name] = reason
    if not fit:
        raise NoValidHost(explain(refused))
    weights = _weigh(fit, demand, spans or {})
    return [host.name for host in sorted(fit, key=lambda host: (-weights[host.name], host.name))]


def _refusal(host: Candidate, demand: Demand) -> str | None:
    for check in FORCED if demand.forced else FILTERS:
        reason = check(host, demand)
        if reason is not None:
            return reason
    return None


def _weigh(hosts: Sequence[Candidate], demand: Demand, spans: Spans) -> dict[str, float]:
    total = dict.fromkeys((host.name for host in hosts), 0.0)
    for weigher, weight, resource_class in WEIGHERS:
        values = {host.name: float(weigher(host, demand)) for host in hosts}
        least, most = spans.get(resource_class) or (min(values.values()), max(values.values()))
        if most == least:
            continue
        for name, value in values.items():
            total[name] += weight * (value - least) / (most - least)
    return total


def explain(refused: dict[str, str]) -> str:
    """Return the refusal as a sentence: ``No valid host: 3 of 3 hosts lack 4096 MB of memory ...``."""
    if not refused:
        return "No valid host: there is no compute host yet. Start an agent (pileus doctor says what it lacks)."
    count = len(refused)
    grouped = Counter(_without_figures(reason) for reason in refused.values())
    if len(grouped) == 1 and count > 1:
        reason = next(iter(grouped))
        details = _listed([f"{name} {text}" for name, text in sorted(refused.items())])
        return f"No valid host: {count} of {count} hosts {_plural(reason)}: {details}. {_remedy(refused)}"
    details = _listed([f"{name} {text}" for name, text in sorted(refused.items())])
    return f"No valid host was found among {count} host{'s' if count != 1 else ''}: {details}. {_remedy(refused)}"


def _without_figures(reason: str) -> str:
    return reason.partition(" (")[0]


def _plural(reason: str) -> str:
    verb, _, rest = reason.partition(" ")
    return f"{ {'is': 'are', 'has': 'have', 'lacks': 'lack'}.get(verb, verb) } {rest}".strip()


def _listed(reasons: list[str]) -> str:
    shown = "; ".join(reasons[:LISTED])
    return shown if len(reasons) <= LISTED else f"{shown}; and {len(reasons) - LISTED} more"


def _remedy(refused: dict[str, str]) -> str:
    texts = " ".join(refused.values())
    if "lacks" in texts and " of " in texts:
        return "Choose a smaller flavor, delete servers, or add a host."
    if "is down" in texts:
        return "Start the agent on the host again."
    if "disabled" in texts:
        return "Enable the compute service of a host."
    return "Relax what was asked for, or ask the operator."
