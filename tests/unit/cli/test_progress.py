"""A start may take as long as it gets on; one that stands still, or ends, is told with its last words."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.cli import progress
from pileus.cli.progress import Progress, last_words
from pileus.cli.state import State
from pileus.cli.terminal import Problem, Step

PATIENCE_S = 0.9


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(progress, "LOOK_S", 0.1)
    monkeypatch.setattr(progress, "BUSY_S", 0.02)


@pytest.fixture
def started(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Progress]:
    (tmp_path / "logs").mkdir()
    process = subprocess.Popen([sys.executable, "-Sc", request.param], cwd=tmp_path)
    yield Progress(State(tmp_path), "server", process.pid, lambda: process.poll() is None, Step("starting", False))
    process.kill()
    process.wait()


def watch(one: Progress, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert one.goes_on()
        time.sleep(0.02)


@pytest.mark.parametrize("started", ["import time; time.sleep(60)"], indirect=True)
def test_one_that_does_nothing_is_given_up(started: Progress) -> None:
    with pytest.raises(Problem, match=r"The server has done nothing for 0\.9 s and does not answer yet"):
        watch(started, 20)


@pytest.mark.parametrize(
    "started",
    [
        "while True: pass",
        "import time\nwhile True: open('logs/server.log', 'a').write('upgrading\\n'); time.sleep(0.2)",
    ],
    ids=["computes", "logs"],
    indirect=True,
)
def test_one_that_gets_on_is_waited_for(started: Progress) -> None:
    watch(started, 2 * PATIENCE_S)


@pytest.mark.parametrize("started", ["pass"], indirect=True)
def test_one_that_ends_is_told_with_its_sentence_and_remedy(started: Progress, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    log.write_text('{"message": "before"}\npileus: Table [x] is wrong.\n        Mend it.\n')
    with pytest.raises(Problem, match="stopped while starting") as failed:
        watch(started, 20)
    assert failed.value.remedy.startswith("Table [x] is wrong.\n        Mend it.\n")
    log.write_text('{"message": "the last"}\n')
    assert last_words(log) == "the last"
