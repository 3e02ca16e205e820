"""A role runs while its process holds its lock: no file that is lost, and no child, says otherwise."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pileus.cli import lock
from pileus.cli.state import State
from pileus.cli.terminal import Problem

HOLD = """
import subprocess, sys
from pathlib import Path
from pileus.cli import lock
taken = lock.take(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
print(taken, child.pid, flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(path: Path) -> Iterator[tuple[int, int]]:
    """Another process that has tried to take a lock and started a child; yields the pids of both."""
    words = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        taken, child = process.stdout.readline().split()
        assert taken == "True"
        try:
            yield process.pid, int(child)
        finally:
            process.kill()
            os.kill(int(child), signal.SIGKILL)


def test_a_lock_names_its_holder_and_goes_with_it_though_its_child_lives(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.pid("server") is None
    with holding(state.lock_file("server")) as (pid, child):
        assert state.pid("server") == pid
        assert state.pid("server") == pid, "looking took the lock away"
        assert not lock.take(state.lock_file("server"))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.kill(child, 0)
        assert state.pid("server") is None
        assert lock.take(state.lock_file("server"))
        assert state.pid("server") == os.getpid()
        lock.release(state.lock_file("server"))
    assert state.pid("server") is None


def test_a_second_process_of_a_role_is_refused(tmp_path: Path) -> None:
    state = State(tmp_path)
    with holding(state.lock_file("agent")) as (pid, _):
        with pytest.raises(Problem, match=f"runs already \\(process {pid}\\)"):
            state.hold("agent")
        state.hold("server")
        lock.release(state.lock_file("server"))


def test_stop_ends_the_holder_and_none_else(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert not state.stop("server")
    with holding(state.lock_file("server")) as (pid, child):
        assert state.stop("server")
        assert state.pid("server") is None
        os.kill(child, 0)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_lock_whose_file_was_removed_meanwhile_keeps_none_out(tmp_path: Path) -> None:
    path = tmp_path / "change.lock"
    assert lock.take(path)
    lock.release(path, remove=True)
    assert not path.exists()
    with holding(path) as (pid, _):
        assert lock.holder(path) == pid


def test_a_change_that_makes_no_cloud_leaves_no_directory(tmp_path: Path) -> None:
    state = State(tmp_path / "a" / "cloud")
    with state.changing():
        assert lock.holder(state.lock_file("change")) == os.getpid()
    assert not state.path.exists()
