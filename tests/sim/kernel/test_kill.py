"""Real processes, a real database file, ``kill -9`` at every event: what was begun is finished or undone."""

import multiprocessing
import sqlite3

import pytest

from tests.unit.kernel.toy import STEPS, UNDOS

from .operation_process import run

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([run.__module__])


def live(folder, kill_at="", fail_at="", *, new=False) -> int | None:
    process = processes.Process(target=run, args=(str(folder), kill_at, fail_at, new))
    process.start()
    process.join(30)
    return process.exitcode


def rows(folder, query: str) -> list[tuple]:
    with sqlite3.connect(folder / "toy.db") as connection:
        return connection.execute(query).fetchall()


def blocks(folder) -> list[str]:
    return sorted(path.name for path in (folder / "yard").iterdir())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_process_is_resumed_at_once_by_the_next(tmp_path, step, when):
    assert live(tmp_path, kill_at=f"{when} {step}", new=True) == -9
    assert live(tmp_path) == 0
    assert rows(tmp_path, "select state, error, live_resource from operations") == [("succeeded", None, None)]
    assert rows(tmp_path, "select status, task_state from toy_towers") == [("ACTIVE", None)]
    assert len(rows(tmp_path, "select id from toy_claims")) == 1
    assert blocks(tmp_path) == ["t-base", "t-side0", "t-side1", "t-spire"]


@pytest.mark.parametrize("undo", UNDOS)
def test_a_process_killed_while_unwinding_leaves_nothing(tmp_path, undo):
    assert live(tmp_path, kill_at=f"undo {undo}", fail_at="before finish", new=True) == -9
    assert live(tmp_path) == 0
    assert rows(tmp_path, "select state, error from operations") == [("failed", "no ground left")]
    assert rows(tmp_path, "select status, task_state, fault from toy_towers") == [("ERROR", None, "no ground left")]
    assert rows(tmp_path, "select id from toy_claims") == []
    assert blocks(tmp_path) == []


def test_killed_again_and_again(tmp_path):
    ends = [live(tmp_path, kill_at=f"after {step}", new=number == 0) for number, step in enumerate(STEPS)]
    # Of two steps side by side both may be done when the first one's process is killed: then nothing is left to kill.
    assert ends.count(-9) >= len(STEPS) - 2, ends
    assert {*ends} <= {-9, 0}
    assert live(tmp_path) == 0
    assert rows(tmp_path, "select state from operations") == [("succeeded",)]
    assert blocks(tmp_path) == ["t-base", "t-side0", "t-side1", "t-spire"]
