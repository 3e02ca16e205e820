"""Faults between the control plane and its hosts: commands on their way, and what hosts say they have."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from pileus.fake.faults import BootFault, CapacityFault, CommandFault, Faults, InForce, matches
from pileus.kernel import clock
from pileus.kernel.agent import AgentPart, Command, Handler, HostContext
from pileus.kernel.bus.base import Answer, Envelope, answer_failed
from pileus.kernel.db import Database
from pileus.kernel.errors import Failed
from pileus.kernel.service import AgentSettings, Service
from pileus.services.compute import public as compute

BOOT = "EnsureGuest"
"""The command that makes a guest and starts it (compute's ``commands.py``)."""
Obey = Callable[[Envelope], Awaitable[Answer]]


class Way:
    """The way to the hosts, on which commands meet the faults that are for them."""

    def __init__(self, faults: Faults, db: Database) -> None:
        self._faults = faults
        self._db = db

    async def deliver(self, host: str, envelope: Envelope, obey: Obey) -> Answer:
        """Carry a command to its host, unless a fault strikes it."""
        for one in self._faults.of(BootFault, CommandFault):
            if await self._is_for(one.fault, host, envelope):
                struck_at = one.strikes(envelope.caller.operation)
                if struck_at is not None and (answer := await _strike(one, struck_at, envelope)) is not None:
                    return answer
        return await obey(envelope)

    async def _is_for(self, fault: Any, host: str, envelope: Envelope) -> bool:
        if not matches(fault.host, host):
            return False
        if isinstance(fault, CommandFault):
            return matches(fault.command, envelope.command)
        if envelope.command != BOOT:
            return False
        payload = msgspec.msgpack.decode(envelope.payload)
        if not payload.get("running", True):
            return False
        if fault.name == "*":
            return True
        name = await self._db.read(compute.server_name, payload["spec"]["id"])
        return name is not None and matches(fault.name, name)


async def _strike(one: InForce, struck_at: float, envelope: Envelope) -> Answer | None:
    """Do what the fault does; return its answer, or None when the host is to give it."""
    fault: Any = one.fault
    if fault.hang:
        await one.cleared.wait()
        return None
    left_s = struck_at + fault.delay_s - clock.monotonic()  # a command that is sent again waits for what is left
    if left_s > 0 and not one.cleared.is_set():
        waits = [asyncio.ensure_future(one.cleared.wait()), asyncio.ensure_future(clock.sleep(left_s))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
    return None if fault.message is None else answer_failed(envelope.id, Failed(fault.message))


class Altered(AgentPart):
    """A service's part of a host that says it has no more than the faults let it have."""

    def __init__(self, part: AgentPart, host: str, faults: Faults) -> None:
        self.part = part
        self.service = part.service
        self._host = host
        self._faults = faults

    @property
    def handles(self) -> Mapping[type[Command[Any]], Handler]:
        return self.part.handles

    async def start(self, host: HostContext) -> None:
        await self.part.start(host)

    async def stop(self) -> None:
        await self.part.stop()

    async def clear(self, *, purge: bool) -> None:
        await self.part.clear(purge=purge)

    async def facts(self) -> dict[str, Any]:
        facts = await self.part.facts()
        for one in self._faults.of(CapacityFault):
            if matches(one.fault.host, self._host):  # type: ignore[union-attr]
                facts = {**facts, **_lessened(facts, one.fault)}
        return facts


def _lessened(facts: Mapping[str, Any], fault: Any) -> dict[str, Any]:
    """Return what a host's facts become; compute's and block storage's are told apart by their names."""
    ceilings = {
        "vcpus": fault.vcpus,
        "memory_mib": fault.memory_mib,
        "disk_gib": fault.disk_gib,
        "disk_free_gib": fault.disk_gib,
        "total_gib": fault.volumes_gib,
        "free_gib": fault.volumes_gib,
    }
    return {name: min(facts[name], most) for name, most in ceilings.items() if name in facts}


def altered(service: Service, faults: Faults) -> Service:
    """Return a service whose parts of hosts heed the faults."""
    make = service.agent
    if make is None:
        return service

    def part(settings: AgentSettings) -> AgentPart:
        return Altered(make(settings), settings.host, faults)

    return replace(service, agent=part)
