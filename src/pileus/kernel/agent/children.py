"""Tools that a driver starts: bounded, and without a life of their own when the agent is killed."""

import os


def bounds(*, memory_bytes: int, cpu_s: int | None = None) -> tuple[str, ...]:
    """Return the words to put before a command, so that it dies with this process and stays within its limits.

    The kernel's signal on a parent's death (prctl(2), PR_SET_PDEATHSIG) says nothing of a parent that died before
    it was asked for; so the child looks, after asking, whether its parent is still the one that started it.
    """
    limits = [f"--as={memory_bytes}", *([f"--cpu={cpu_s}"] if cpu_s is not None else [])]
    still_there = ("sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid()))
    return ("setpriv", "--pdeathsig", "KILL", *still_there, "prlimit", *limits)
