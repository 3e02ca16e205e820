"""What one simulation does: a seed and how much of everything.  Rule: the plan is all there is to reproduce it."""

from random import Random

import msgspec

WEAK = ("ensure_guest", "ensure_guest", "ensure_guest_gone", "power_on", "power_off", "ensure_port")
WEAK += ("ensure_nic_attached", "ensure_nic_detached", "ensure_disk_attached", "ensure_disk_detached", "ensure_volume")
"""Verbs of drivers of which one may fail often in a simulation, so that the same thing fails again and again."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation.  Shares are of messages, driver calls or transactions; counts are per simulation."""

    seed: int
    users: int = 6
    """Two to a project, so that they meet on the same things."""
    steps: int = 14
    """Verbs of each user."""
    pause_s: float = 6.0
    """The longest pause between two verbs of a user; most are much shorter."""
    controls: int = 2
    """Processes with API, worker and reconcilers."""
    hosts: int = 3
    drop: float = 0.0
    delay: float = 0.0
    double: float = 0.0
    refusals: float = 0.0
    """Transactions that are refused because the database is away."""
    fail_before: float = 0.0
    fail_after: float = 0.0
    hang: float = 0.0
    slow: float = 0.0
    crashes: int = 0
    """Deaths of control processes."""
    agent_crashes: int = 0
    freezes: int = 0
    """Processes stopped for longer or shorter than a lease, and then going on."""
    clock_steps: int = 0
    outages: int = 0
    """Times in which everything fails on one host."""
    storms: int = 0
    """Times in which most messages are late and many come twice."""
    weak: str = ""
    """A verb at which drivers fail often."""
    knows_dead: bool = True
    """Whether a dead process is known to be dead (same machine), or only its leases tell."""

    def random(self, what: str) -> Random:
        """Return the chances of one concern, so that more of one does not change the others."""
        return Random(f"{self.seed}/{what}")


def plan_of(seed: int) -> Plan:
    """Return the plan of a seed: every seed has its own mixture, and some have no faults of a kind at all."""
    random = Random(f"{seed}/plan")

    def share(most: float) -> float:
        return round(random.random() ** 2 * most, 4) if random.random() < 0.6 else 0.0

    def count(most: int) -> int:
        return random.randint(1, most) if random.random() < 0.6 else 0

    pause_s = random.choice((6.0, 6.0, 25.0))
    storms, weak = count(3), random.choice(WEAK) if random.random() < 0.4 else ""
    return Plan(
        seed=seed,
        pause_s=pause_s,
        storms=storms,
        weak=weak,
        users=random.choice((2, 4, 6, 6, 8)),
        steps=random.choice((8, 14, 20)),
        controls=random.choice((1, 2, 2, 2, 3)),
        hosts=random.choice((1, 2, 3, 3)),
        drop=share(0.15),
        delay=share(0.2),
        double=share(0.2),
        refusals=share(0.03),
        fail_before=share(0.15),
        fail_after=share(0.15),
        hang=share(0.02),
        slow=share(0.3),
        crashes=count(4),
        agent_crashes=count(4),
        freezes=count(3),
        clock_steps=count(3),
        outages=count(2),
        knows_dead=random.random() < 0.5,
    )
