"""The pytest plugin, as projects use it that have nothing to do with Pileus but its package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(300)


def run_pytest(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run pytest in a folder of its own: all it knows of Pileus is what is installed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_example_project_passes_and_leaves_no_cloud_behind(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "pytest", tmp_path / "fleet")
    ran = run_pytest(tmp_path / "fleet", f"--basetemp={tmp_path / 'base'}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "12 passed" in ran.stdout
    assert not list((tmp_path / "base").rglob("cloud.json"))


def test_a_project_that_asks_for_no_cloud_pays_for_none(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\n"
        "def test_plain(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('pileus')\n"
        "    dear = [name for name in sys.modules if name.split('.')[0] in ('sqlalchemy', 'starlette', 'openstack')]\n"
        "    assert dear == []\n"
        "    ours = {name for name in sys.modules if name.startswith('pileus')}\n"
        "    assert ours == {'pileus', 'pileus.fake', 'pileus.fake.client', 'pileus.pytest_plugin'}\n"
    )
    ran = run_pytest(tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_seed_that_cannot_be_used_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "seed.toml").write_text('[[flavors]]\nname = "small"\nvcpus = "two"\nram = 1\n')
    (tmp_path / "test_one.py").write_text("def test_one(pileus_cloud):\n    pass\n")
    ran = run_pytest(tmp_path, "--pileus-seed", "seed.toml")
    assert ran.returncode == 1
    assert "seed.toml, line 3: Expected 'int', got 'str' (flavors[0].vcpus)" in ran.stdout
