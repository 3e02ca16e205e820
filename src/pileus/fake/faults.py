"""What can be made to go wrong, and when it strikes.

Rule: a fault is a value; it strikes by what it sees pass (a command on its way to a host, a request), and of one
operation always alike, since its steps are sent again when they fail.
"""

import asyncio
from collections import OrderedDict
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec

from pileus.kernel import clock
from pileus.kernel.errors import Conflict, Invalid, NotFound

MOST = 1000
"""Faults in force at once."""
REMEMBERED = 10_000
"""Operations of which a fault remembers whether it struck them."""
LONGEST_S = 86400.0

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Every = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of every fault."""

    def check(self) -> None:
        """Raise Invalid where fields do not go together."""


class _OfCommands(Fault, frozen=True, kw_only=True):
    """A command to a host fails (``message``), is not answered (``hang``), or takes ``delay_s`` first.

    ``times``: how often it strikes, 0 until it is cleared; ``every``: only each so many-th; ``host``: a pattern.
    """

    host: Pattern = "*"
    message: Text | None = None
    hang: bool = False
    delay_s: Seconds = 0.0
    times: Count = 1
    every: Every = 1

    def check(self) -> None:
        if self.hang and (self.message is not None or self.delay_s):
            raise Invalid("What hangs neither fails nor takes a while: give hang alone, or message and delay_s.")
        if not self.hang and self.message is None and not self.delay_s:
            raise Invalid("Say what is to happen: a message to fail with, hang, or delay_s.")


class BootFault(_OfCommands, frozen=True, kw_only=True, tag="boot"):
    """A server's start on its host; ``name`` is a pattern of the server's name."""

    name: Pattern = "*"


class CommandFault(_OfCommands, frozen=True, kw_only=True, tag="command"):
    """Any command to a host, by its name: ``EnsureVolume``, ``EnsureDiskAttached``, ``SnapshotGuestDisk`` ..."""

    command: Pattern


class ApiFault(Fault, frozen=True, kw_only=True, tag="api"):
    """Requests are answered with ``status``, or late, or both; by service, method, and a pattern of the path."""

    service: Pattern = "*"
    method: Pattern = "*"
    path: Pattern = "*"
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] | None = None
    message: Text | None = None
    delay_s: Seconds = 0.0
    retry_after_s: Annotated[int, msgspec.Meta(ge=0, le=86400)] | None = None
    times: Count = 0
    every: Every = 1

    def check(self) -> None:
        if self.status is None and (self.message is not None or self.retry_after_s is not None):
            raise Invalid("message and retry_after_s belong to a refusal: give its status, 400 to 599.")
        if self.status is None and not self.delay_s:
            raise Invalid("Say what is to happen: a status from 400 to 599, or delay_s.")


class HostFault(Fault, frozen=True, kw_only=True, tag="host"):
    """A host is not heard any more; it comes back when cleared, with ``power_off`` its guests switched off."""

    host: Pattern
    power_off: bool = False


class CapacityFault(Fault, frozen=True, kw_only=True, tag="capacity"):
    """Hosts have no more than this, until the fault is cleared."""

    host: Pattern = "*"
    vcpus: Count = 0
    memory_mib: Annotated[int, msgspec.Meta(ge=0, le=1 << 30)] = 0
    disk_gib: Count = 0
    volumes_gib: Count = 0


class QuotaFault(Fault, frozen=True, kw_only=True, tag="quota"):
    """A project's limit is full: it may have nothing more.  ``project`` is an id, or a name in the default domain."""

    project: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    service: Pattern
    name: Pattern


AnyFault = BootFault | CommandFault | ApiFault | HostFault | CapacityFault | QuotaFault


class InForce:
    """A fault that was ordered: how often it was met, how often it struck."""

    def __init__(self, id: int, fault: AnyFault) -> None:
        self.id = id
        self.fault = fault
        self.met = 0
        self.struck = 0
        self.before: Any = None
        """What the fault has put aside: a limit, say."""
        self.cleared = asyncio.Event()
        self._decided: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it was to."""
        times = getattr(self.fault, "times", 0)
        return bool(times) and self.struck >= times

    def strikes(self, operation: str = "") -> float | None:
        """Return when it struck (monotonic seconds), None when it does not; of one operation always the same."""
        known = self._decided.get(operation)
        if operation and known is not None:
            return known[1] if known[0] else None
        if self.spent:
            return None
        self.met += 1
        hit, now = self.met % getattr(self.fault, "every", 1) == 0, clock.monotonic()
        self.struck += hit
        if operation:
            self._decided[operation] = hit, now
            if len(self._decided) > REMEMBERED:
                self._decided.popitem(last=False)
        return now if hit else None

    def view(self) -> dict[str, Any]:
        """Return it as it is shown."""
        given = msgspec.to_builtins(self.fault)
        return {"id": self.id, **given, "met": self.met, "struck": self.struck, "spent": self.spent}


class Faults:
    """All faults of a cloud, in the order in which they were ordered."""

    def __init__(self) -> None:
        self._last = 0
        self.all: dict[int, InForce] = {}

    def add(self, fault: AnyFault) -> InForce:
        """Put a fault in force."""
        fault.check()
        if len(self.all) >= MOST:
            raise Conflict(f"There are {MOST} faults already; clear some.")
        self._last += 1
        made = self.all[self._last] = InForce(self._last, fault)
        return made

    def remove(self, id: int) -> InForce:
        """Take a fault out of force; what it holds up goes on."""
        if id not in self.all:
            raise NotFound(f"There is no fault {id}; GET /fake/faults lists those in force.")
        gone = self.all.pop(id)
        gone.cleared.set()
        return gone

    def of(self, *kinds: type[Fault]) -> list[InForce]:
        """Return those of some kinds."""
        return [one for one in self.all.values() if isinstance(one.fault, kinds)]


def matches(pattern: str, text: str) -> bool:
    """Tell whether a text fits a pattern with ``*``, ``?`` and ``[...]``."""
    return fnmatchcase(text, pattern)
