"""A tool dies with its agent, also when the agent dies before the tool has asked for that."""

import os
import subprocess
import sys

from pileus.kernel.agent.children import bounds


def test_a_tool_whose_agent_is_there_runs_within_its_limits():
    words = [*bounds(memory_bytes=1 << 30, cpu_s=7), "sh", "-c", "ulimit -v; ulimit -t"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(1 << 20), "7"]


def test_a_tool_whose_agent_has_gone_does_nothing(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    words = [str(gone.pid) if word == str(os.getpid()) else word for word in bounds(memory_bytes=1 << 30)]
    done = subprocess.run([*words, "touch", tmp_path / "made"], check=False)
    assert done.returncode != 0
    assert not (tmp_path / "made").exists()
