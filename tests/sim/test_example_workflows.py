"""The workflows of examples/ for GitHub and GitLab: their lines, run as their runners would."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.timeout(300)
ELSEWHERE = ("pip install", "pytest")
"""Lines that test_pytest_plugin.py runs, or that would fetch what is here already."""


class Runner:
    """Runs lines in a folder with the seed, with a ``pileus`` that takes a free port where none is named."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(EXAMPLES / "pytest" / "seed.toml", folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = folder / "bin" / "pileus"
        command.parent.mkdir()
        python = shlex.quote(sys.executable)
        command.write_text(
            f'#!/bin/sh\n[ "$1" = up ] && set -- "$@" --port {port}\nexec {python} -m pileus.cli.main "$@"\n'
        )
        command.chmod(0o755)
        path = f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {"PATH": path, "HOME": str(folder)}

    def run(self, lines: str) -> str:
        """Run lines in one shell, which stops at the first that fails; return what they said."""
        ran = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", lines],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{lines}\n{ran.stdout}{ran.stderr}"
        return ran.stdout


def loaded(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text())


def test_every_line_of_the_github_workflow_works(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    variables = tmp_path / "variables"
    variables.touch()
    runner.environment |= {"RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_ENV": str(variables)}
    (tmp_path / "temp").mkdir()
    ran = []
    for step in loaded("github-actions.yml")["jobs"]["tests"]["steps"]:
        if "run" not in step or step["run"].startswith(ELSEWHERE):
            continue
        runner.run(step["run"])
        ran.append(step["name"])
        runner.environment |= dict(line.split("=", 1) for line in variables.read_text().splitlines())
    assert ran == ["Start a cloud", "Use it", "Put it back between suites", "Say what happened", "Stop it"]
    assert runner.environment["OS_PROJECT_NAME"] == "production"
    assert not (tmp_path / "temp" / "cloud").exists()


def test_every_line_of_the_gitlab_pipeline_works(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    pipeline = loaded("gitlab-ci.yml")
    for name, value in pipeline["variables"].items():
        runner.environment[name] = value.replace("$CI_PROJECT_DIR", str(tmp_path))
    job = pipeline["anything"]
    script = [line for line in job["before_script"] + job["script"] if not line.startswith(ELSEWHERE)]
    said = runner.run("\n".join(script))
    assert '"version"' in said
    runner.run("\n".join(job["after_script"]))
    assert not (tmp_path / ".cloud").exists()
    assert all(line.startswith(ELSEWHERE) for line in pipeline["python"]["script"])


def test_the_playbook_says_what_it_does() -> None:
    (play,) = loaded("ansible/playbook.yml")
    modules = [next(key for key in task if key not in ("name", "register")) for task in play["tasks"]]
    assert [module for module in modules if not module.startswith(("openstack.cloud.", "ansible.builtin."))] == []
