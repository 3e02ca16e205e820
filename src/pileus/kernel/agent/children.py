"""Tools that a driver starts: bounded, and without a life of their own when the agent is killed.

Rule: a tool that reads what a user has made is confined besides: it may do no more than read that and write its result.
"""

import os
from pathlib import Path

TOOL_USER = 60901
"""The user without a name that confined tools run as, where the agent may choose."""
_STILL_THERE = 'test "$PPID" = "$0" && exec "$@"'


def bounds(*, memory_bytes: int, cpu_s: int | None = None) -> tuple[str, ...]:
    """Return the words to put before a command, so that it dies with this process and stays within its limits.

    The kernel's signal on a parent's death (prctl(2), PR_SET_PDEATHSIG) says nothing of a parent that died before
    it was asked for; so the child looks, after asking, whether its parent is still the one that started it.
    """
    return ("setpriv", "--pdeathsig", "KILL", *_asking(), *_limits(memory_bytes, cpu_s, None))


def confined(
    *, memory_bytes: int, cpu_s: int | None = None, file_bytes: int | None = None, user: int | None = TOOL_USER
) -> tuple[str, ...]:
    """Return the words to put before a command that reads a file from a user.

    As ``bounds``, and besides: no network, no shared memory, none of the agent's rights and no way to get any (the
    user without a name, no capability, no new privileges), no file larger than ``file_bytes``.  ``user`` None: the
    command stays the user we are, as it must when we are not root, or when its files are out of that user's reach.
    """
    limits = _limits(memory_bytes, cpu_s, file_bytes)
    if os.geteuid() != 0:
        return ("setpriv", "--no-new-privs", "--pdeathsig", "KILL", *_asking(), *limits)
    who = () if user is None else (f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all")
    # A change of user makes the kernel forget the signal: it is asked for by the same program, after the change.
    rights = ("setpriv", *who, "--bounding-set=-all", "--no-new-privs", "--pdeathsig", "KILL")
    return ("unshare", "--net", "--ipc", *rights, *_asking(), *limits)


def readable(file: Path, user: int) -> bool:
    """Make a file readable by a user without rights, through its group; say whether it now is.

    Every folder on the way must let others pass, and the file must be ours to give.
    """
    if os.geteuid() != 0:
        return False
    where = file.resolve()
    if not all(parent.stat().st_mode & 0o001 for parent in where.parents):
        return False
    stat = where.stat()
    if stat.st_mode & 0o004:
        return True
    os.chown(where, -1, user)
    where.chmod(stat.st_mode & 0o777 | 0o040)
    return True


def _asking() -> tuple[str, ...]:
    return ("sh", "-c", _STILL_THERE, str(os.getpid()))


def _limits(memory_bytes: int, cpu_s: int | None, file_bytes: int | None) -> tuple[str, ...]:
    limits = [f"--as={memory_bytes}", "--core=0"]
    limits += [f"--cpu={cpu_s}"] if cpu_s is not None else []
    limits += [f"--fsize={file_bytes}", "--nofile=64"] if file_bytes is not None else []
    return ("prlimit", *limits)
