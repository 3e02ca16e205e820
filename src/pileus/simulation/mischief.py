"""What happens to processes: they die at any line, stop and go on late, and their machines' clocks are wrong.

Rule: each kind of trouble has its own chances and its own count, so that leaving one out leaves the others as they are.
"""

import asyncio
from random import Random

from pileus.kernel.testing.virtual import Process
from pileus.simulation.cloud import Cloud

SPAN_S = 60.0
"""Trouble comes within this time from the beginning."""
CLOCK_BOUND_S = 1.0
"""Control processes' clocks stay within this of the truth: two seconds between any two, as documented."""
HOST_CLOCK_BOUND_S = 600.0
"""Hosts learn the control plane's time; their own may be as wrong as this."""


class Mischief:
    """All troubles of one simulation."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.over = False

    def tasks(self) -> "list[asyncio.Task[None]]":
        """Start all that the plan has."""
        plan = self.cloud.plan
        kinds = (
            ("crash", plan.crashes, self._crash),
            ("agent crash", plan.agent_crashes, self._crash_agent),
            ("freeze", plan.freezes, self._freeze),
            ("clock step", plan.clock_steps, self._step_clock),
            ("outage", plan.outages, self._break_host),
        )
        return [
            asyncio.ensure_future(act(plan.random(f"{kind} {number}")))
            for kind, count, act in kinds
            for number in range(count)
        ]

    def _note(self, what: str, whom: str) -> None:
        self.cloud.trace.seen[what] += 1
        self.cloud.trace.tell(f"{what}: {whom}")

    async def _crash(self, random: Random) -> None:
        await asyncio.sleep(random.random() * SPAN_S)
        names = sorted(self.cloud.controls)
        if not names or self.over:
            return
        name = random.choice(names)
        await self._burn(self.cloud.controls[name].process, random)
        if name in self.cloud.controls:
            self._note("control process killed", name)
            self.cloud.kill_control(name)
        await asyncio.sleep(random.choice((0.5, 3.0, 45.0)) * random.random())
        if name not in self.cloud.controls:
            ahead_s = random.uniform(-CLOCK_BOUND_S, CLOCK_BOUND_S)
            self.cloud.start_control(name, clock_ahead_s=ahead_s)

    async def _crash_agent(self, random: Random) -> None:
        await asyncio.sleep(random.random() * SPAN_S)
        machine = self.cloud.machines[random.choice(sorted(self.cloud.machines))]
        if not machine.process.alive or self.over:
            return
        await self._burn(machine.process, random)
        if not machine.process.alive:
            return
        self._note("agent killed", machine.name)
        machine.kill_agent(self.cloud.loop)
        await asyncio.sleep(random.choice((0.5, 3.0, 60.0)) * random.random())
        if not machine.process.alive:
            self.cloud.start_agent(machine)

    async def _burn(self, process: Process, random: Random) -> None:
        """Wait until a process has run some more lines, so that it dies in the middle of its work."""
        burnt = self.cloud.loop.burn(process, random.randrange(1, 400))
        await asyncio.wait((burnt,), timeout=20)

    async def _freeze(self, random: Random) -> None:
        await asyncio.sleep(random.random() * SPAN_S)
        processes = [control.process for _, control in sorted(self.cloud.controls.items())]
        processes += [machine.process for _, machine in sorted(self.cloud.machines.items())]
        process = random.choice(processes)
        if not process.alive or process.frozen or self.over:
            return
        await self._burn(process, random)
        if not process.alive or process.frozen:
            return
        self._note("process stopped", process.name)
        self.cloud.loop.freeze(process)
        await asyncio.sleep(random.choice((1.0, 10.0, 90.0)) * random.random())
        self.cloud.loop.thaw(process)
        self.cloud.trace.tell(f"process goes on: {process.name}")

    async def _step_clock(self, random: Random) -> None:
        await asyncio.sleep(random.random() * SPAN_S)
        if random.random() < 0.5:
            machine = self.cloud.machines[random.choice(sorted(self.cloud.machines))]
            machine.clock_ahead_s = random.uniform(-HOST_CLOCK_BOUND_S, HOST_CLOCK_BOUND_S)
            machine.process.clock_ahead_s = machine.clock_ahead_s
            self._note("host's clock set", f"{machine.name} {machine.clock_ahead_s:+.1f} s")
        else:
            name = random.choice(sorted(self.cloud.controls) or [""])
            if name:
                process = self.cloud.controls[name].process
                process.clock_ahead_s = random.uniform(-CLOCK_BOUND_S, CLOCK_BOUND_S)
                self._note("control clock set", f"{name} {process.clock_ahead_s:+.1f} s")

    async def _break_host(self, random: Random) -> None:
        await asyncio.sleep(random.random() * SPAN_S)
        machine = self.cloud.machines[random.choice(sorted(self.cloud.machines))]
        lasts_s = random.choice((10.0, 60.0, 400.0)) * random.random()
        machine.faults.broken_until = self.cloud.loop.time() + lasts_s
        self._note("host broken", f"{machine.name} for {lasts_s:.0f} s")

    def end(self) -> None:
        """Bring everybody back."""
        self.over = True
        loop = self.cloud.loop
        for number in range(1, self.cloud.plan.controls + 1):
            name = f"c{number}"
            if name not in self.cloud.controls:
                self.cloud.start_control(name)
        for machine in self.cloud.machines.values():
            if not machine.process.alive:
                self.cloud.start_agent(machine)
        processes = [control.process for control in self.cloud.controls.values()]
        for process in [*processes, *(machine.process for machine in self.cloud.machines.values())]:
            if process.frozen:
                loop.thaw(process)
