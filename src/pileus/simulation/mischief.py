"""What happens to processes: they die at any line, stop and go on late, and their machines' clocks are wrong.

Rule: each kind of trouble has its own chances and its own count, so that leaving one out leaves the others as they are.
"""

import asyncio
from random import Random

import msgspec

from pileus.kernel.testing.virtual import Process
from pileus.simulation.cloud import Cloud

SPAN_OF_A_STEP_S = 1.0
"""Trouble comes within this time from the beginning for each verb of a user, and a quarter of its longest pause: while
there is something to spoil."""
STORM = {"drop": 0.1, "delay": 0.5, "double": 0.4}
AWAY_S = (0.5, 3.0, 60.0, 180.0)
"""About how long an agent is away: unnoticed, or long enough for its host to be taken for down."""
STOPS_S = (1.0, 10.0, 90.0, 90.0)
"""About how long processes are stopped: a moment, or longer than a lease."""
CLOCK_BOUND_S = 1.0
"""Control processes' clocks stay within this of the truth: two seconds between any two, as documented."""
HOST_CLOCK_BOUND_S = 600.0
"""Hosts learn the control plane's time; their own may be as wrong as this."""


class Mischief:
    """All troubles of one simulation."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.over = False
        self._span_s = 10.0 + (SPAN_OF_A_STEP_S + cloud.plan.pause_s / 4) * cloud.plan.steps

    def tasks(self) -> "list[asyncio.Task[None]]":
        """Start all that the plan has."""
        plan = self.cloud.plan
        kinds = (
            ("crash", plan.crashes, self._crash),
            ("agent crash", plan.agent_crashes, self._crash_agent),
            ("freeze", plan.freezes, self._freeze),
            ("clock step", plan.clock_steps, self._step_clock),
            ("outage", plan.outages, self._break_host),
            ("storm", plan.storms, self._storm),
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
        await asyncio.sleep(random.random() * self._span_s)
        names = sorted(self.cloud.controls)
        if not names or self.over:
            return
        name = random.choice(names)
        await self._meet_at_work(self.cloud.controls[name].process, random)
        if name in self.cloud.controls:
            self._note("control process killed", name)
            self.cloud.kill_control(name)
        await asyncio.sleep(random.choice((0.5, 3.0, 45.0)) * random.random())
        if name not in self.cloud.controls:
            ahead_s = random.uniform(-CLOCK_BOUND_S, CLOCK_BOUND_S)
            self.cloud.start_control(name, clock_ahead_s=ahead_s)

    async def _crash_agent(self, random: Random) -> None:
        await asyncio.sleep(random.random() * self._span_s)
        machine = self.cloud.machines[random.choice(sorted(self.cloud.machines))]
        if not machine.process.alive or self.over:
            return
        await self._burn(machine.process, random)
        if not machine.process.alive:
            return
        self._note("agent killed", machine.name)
        machine.kill_agent(self.cloud.loop)
        await asyncio.sleep(random.choice(AWAY_S) * random.random())
        if not machine.process.alive:
            self.cloud.start_agent(machine)

    async def _burn(self, process: Process, random: Random) -> None:
        """Wait until a process has run some more lines, so that it dies in the middle of its work."""
        burnt = self.cloud.loop.burn(process, random.randrange(1, 400))
        await asyncio.wait((burnt,), timeout=20)

    async def _meet_at_work(self, process: Process, random: Random) -> None:
        """Wait until a control process carries out an operation, and then is somewhere in the middle of it."""
        for _ in range(20):
            if not process.alive or self._at_work(process):
                break
            await asyncio.sleep(random.random())
        await self._burn(process, random)

    def _at_work(self, process: Process) -> bool:
        query = "select 1 from operations where live_resource is not null and lease_owner = ?"
        return self.cloud.store.connection.execute(query, (process.owner,)).fetchone() is not None

    async def _freeze(self, random: Random) -> None:
        await asyncio.sleep(random.random() * self._span_s)
        controls = [control.process for _, control in sorted(self.cloud.controls.items())]
        agents = [machine.process for _, machine in sorted(self.cloud.machines.items())]
        process = random.choice(controls if controls and random.random() < 0.6 else agents)
        if not process.alive or process.frozen or self.over:
            return
        if not (process in controls and random.random() < 0.7 and await self._stop_before_step(process, random)):
            await (self._meet_at_work if process in controls else self._burn)(process, random)
            if not process.alive or process.frozen:
                return
            self.cloud.loop.freeze(process)
        self._note("process stopped", process.name)
        await asyncio.sleep(random.choice(STOPS_S) * random.random())
        self.cloud.loop.thaw(process)
        self.cloud.trace.tell(f"process goes on: {process.name}")

    async def _stop_before_step(self, process: Process, random: Random) -> bool:
        """Stop a process that is just about to do a step of an operation, between look and leap; tell whether it was.

        Whoever takes the operation over does that step too.
        """
        loop, stopped = self.cloud.loop, self.cloud.loop.create_future()
        left = random.randrange(1, 5)

        def begins() -> None:
            nonlocal left
            left -= 1
            if left:
                self.cloud.before_step[process] = begins
            elif not process.frozen:
                loop.freeze(process)
                stopped.set_result(None)

        self.cloud.before_step[process] = begins
        await asyncio.wait((stopped,), timeout=20)
        self.cloud.before_step.pop(process, None)
        return stopped.done()

    async def _step_clock(self, random: Random) -> None:
        await asyncio.sleep(random.random() * self._span_s)
        if random.random() < 0.5:
            machine = self.cloud.machines[random.choice(sorted(self.cloud.machines))]
            machine.set_clock(random.uniform(-HOST_CLOCK_BOUND_S, HOST_CLOCK_BOUND_S))
            self._note("host's clock set", f"{machine.name} {machine.clock_ahead_s:+.1f} s")
        else:
            name = random.choice(sorted(self.cloud.controls) or [""])
            if name:
                process = self.cloud.controls[name].process
                process.clock_ahead_s = random.uniform(-CLOCK_BOUND_S, CLOCK_BOUND_S)
                self._note("control clock set", f"{name} {process.clock_ahead_s:+.1f} s")

    async def _break_host(self, random: Random) -> None:
        await asyncio.sleep(random.random() * self._span_s)
        machine = self.cloud.machines[random.choice(sorted(self.cloud.machines))]
        lasts_s = random.choice((10.0, 60.0, 400.0)) * random.random()
        machine.faults.broken_until = self.cloud.loop.time() + lasts_s
        self._note("host broken", f"{machine.name} for {lasts_s:.0f} s")

    async def _storm(self, random: Random) -> None:
        """Have messages come late, overtake each other and come again when nobody thinks of them any more."""
        await asyncio.sleep(random.random() * self._span_s)
        wire, usual = self.cloud.wire, self.cloud.wire.weather
        self._note("storm", "between all")
        wire.weather = msgspec.structs.replace(usual, **STORM)
        await asyncio.sleep(5.0 + 15.0 * random.random())
        plan = self.cloud.plan
        wire.weather = msgspec.structs.replace(usual, drop=plan.drop, delay=plan.delay, double=plan.double)

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
