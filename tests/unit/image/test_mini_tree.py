"""The guest image's building blocks: what a tree says is what an archive, a folder and an owner list hold."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.services.image.mini.elf import needed_libraries
from pileus.services.image.mini.packages import Package, fetch
from pileus.services.image.mini.tree import Tree


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    tree.file("usr/bin/sudo", b"program", 0o4755)
    tree.directory("home/demo", 0o755, 1000, 1000)
    tree.link("bin", "usr/bin")
    return tree


def test_parents_are_made_and_come_first(tree: Tree) -> None:
    names = [path for path, _ in tree.in_order()]
    assert names == ["bin", "home", "home/demo", "usr", "usr/bin", "usr/bin/sudo"]


def test_a_folder_gets_modes_and_links(tree: Tree, tmp_path: Path) -> None:
    tree.write(tmp_path / "root")
    assert (tmp_path / "root/bin/sudo").read_bytes() == b"program"
    assert (tmp_path / "root/usr/bin/sudo").stat().st_mode & 0o7777 == 0o4755


def test_owners_do_not_depend_on_who_builds(tree: Tree) -> None:
    commands = tree.owner_commands().splitlines()
    assert 'sif "/home/demo" uid 1000' in commands
    assert 'sif "/usr/bin/sudo" uid 0' in commands


@pytest.mark.skipif(not shutil.which("cpio"), reason="the Debian package cpio is not installed")
def test_cpio_reads_the_archive(tree: Tree) -> None:
    listed = subprocess.run(
        ["cpio", "-tv", "--quiet", "-n"], input=tree.cpio(), capture_output=True, check=True
    ).stdout.decode()
    assert "-rwsr-xr-x" in listed
    assert "bin -> usr/bin" in listed
    assert any(line.split()[2:4] == ["1000", "1000"] and line.endswith("home/demo") for line in listed.splitlines())


def test_the_archive_is_the_same_every_time(tree: Tree) -> None:
    archive = tree.cpio()
    assert archive == tree.cpio()
    assert archive.startswith(b"070701")
    assert len(archive) % 4 == 0
    assert b"TRAILER!!!" in archive


def test_libraries_are_read_from_elf() -> None:
    assert "libc.so.6" in needed_libraries(Path("/bin/sh").resolve())
    assert needed_libraries(Path(sys.prefix) / "pyvenv.cfg") == []


def test_a_whole_package_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "a_1_all.deb").write_bytes(b"whole")
    package = Package("a_1_all.deb", 5, hashlib.sha256(b"whole").hexdigest())
    assert fetch([package], tmp_path, lambda _sentence, _part: pytest.fail("downloaded again")) == [
        tmp_path / "a_1_all.deb"
    ]
