"""The report of a soak, as a section of ``docs/reliability.md``.  Rule: figures come from the run, words from here."""

from dataclasses import dataclass
from datetime import UTC, datetime

from tests.soak.control import Control
from tests.soak.killer import errors_in
from tests.soak.watch import Watch, buckets, failures, operations_by_kind

MARKS = "soak: begin, written by python -m tests.soak", "soak: end"


@dataclass
class Report:
    """What is known at the end, before the cloud is purged."""

    minutes: float
    seed: int
    control: Control
    watch: Watch
    lines: list[str]

    @classmethod
    def gather(cls, minutes: float, seed: int, control: Control, watch: Watch) -> "Report":
        state = watch.state.path
        lines = ["### What was done", "", "| count | of what |", "| ---: | --- |"]
        lines += [f"| {number:,} | {what} |" for what, number in sorted(control.counts.items())]
        lines += ["", "### Operations", "", "| operation | ended | of them failed | longest, s |"]
        lines += ["| --- | ---: | ---: | ---: |"]
        lines += [f"| {k} | {ended} | {failed} | {took:.1f} |" for k, ended, failed, took in operations_by_kind(state)]
        if why := failures(state):
            lines += ["", "Why operations failed:", ""]
            lines += [f"- {number} x {kind}: {words}" for kind, words, number in why]
        logged = {role: errors_in(watch.state.log(role)) for role in ("server", "agent")}
        lines += ["", "Errors logged: " + ("none." if not any(logged.values()) else ""), ""]
        lines += [f"- {role}: {number} x {words}" for role, found in logged.items() for words, number in found.items()]
        lines += ["", "### Memory", "", "PSS in MiB; each kill begins a new process.", ""]
        lines += ["| from minute | server median | highest | processes | agent median | highest | processes |"]
        lines += ["| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        width_s = max(60.0, minutes * 60 / 12)
        table = buckets(watch.samples, width_s, lambda s: f"{s / 60:.0f}")
        lines += [f"| {' | '.join(line)} |" for line in table]
        return cls(minutes, seed, control, watch, lines)

    def text(self) -> str:
        troubles = self.control.troubles
        kills = sum(number for what, number in self.control.counts.items() if what.startswith("kills:"))
        head = [
            "## A soak of the real cloud",
            "",
            f"`python -m tests.soak --minutes {self.minutes:.0f} --seed {self.seed}`, "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC: a real cloud (QEMU guests by TCG, Linux networks, "
            f"qcow2 volumes) under load{', its processes killed with `kill -9` at random moments' if kills else ''}.",
            "",
            f"**{kills} kills, {len(troubles)} troubles.** A trouble is an acknowledged write that is not there, a "
            "request refused without reason, something that takes longer than its deadline, a difference between host "
            "and rows at rest, or anything left on the host after the purge.",
            "",
        ]
        told = ["### Troubles", "", *(f"- {one.strip()}" for one in troubles), ""] if troubles else []
        return "\n".join([*head, *told, *self.lines]) + "\n"
