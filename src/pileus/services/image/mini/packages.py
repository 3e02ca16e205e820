"""Debian packages as a source of files: fetched and unpacked, never installed.

One rule: a package is named by what apt's own signed index says of it (file name and SHA-256), so the set of hashes
is the identity of everything taken from it.
"""

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pileus.kernel.errors import Unavailable
from pileus.services.image.mini.elf import needed_libraries

Progress = Callable[[str, float], None]
"""Called with a sentence for the user and the done part of the whole, 0 to 1."""

_LIBRARY = re.compile(r"lib[a-z0-9]|zlib1g")
_URI = re.compile(r"^'[^']+' (\S+) (\d+) SHA256:([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One .deb: the name of the file that `apt-get download` leaves, and what it must contain."""

    file_name: str
    size_bytes: int
    sha256: str


def run(
    *command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, feed: str | None = None
) -> str:
    """Run a program to its end and return what it printed; raise Unavailable with its own words if it fails."""
    try:
        done = subprocess.run(
            [str(word) for word in command], cwd=cwd, env=env, input=feed, capture_output=True, text=True, timeout=600
        )
    except FileNotFoundError as error:
        raise Unavailable(f"The guest image needs the program '{command[0]}', which is not installed.") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"The program '{command[0]}' did not end within 600 seconds.") from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise Unavailable(f"The program '{command[0]}' failed: {reason[0]}")
    return done.stdout


def kernel_package() -> str:
    """Return the newest cloud kernel package, which the meta package depends on."""
    found = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", "linux-image-cloud-amd64"))
    if not found:
        raise Unavailable(
            "apt knows no package 'linux-image-cloud-amd64': run 'apt-get update' on a Debian amd64 host."
        )
    return found[1]


def with_libraries(names: Iterable[str]) -> list[str]:
    """Return the packages and every library package that they depend on, directly or through other libraries."""
    options = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    graph: dict[str, list[str]] = {}
    current: list[str] = []
    for line in run("apt-cache", "depends", "--recurse", *options, *names).splitlines():
        if not line.startswith((" ", "|")):
            current = graph.setdefault(line, [])
        elif (wanted := line.split()[-1]) and _LIBRARY.match(wanted):
            current.append(wanted)
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += graph.get(name, [])
    return sorted(reached)


def look_up(names: Iterable[str]) -> list[Package]:
    """Ask apt which files it would download for these packages."""
    answer = run("apt-get", "-q", "download", "--print-uris", *names)
    return sorted(
        (Package(name, int(size), sha) for name, size, sha in _URI.findall(answer)), key=lambda p: p.file_name
    )


def fetch(packages: Iterable[Package], folder: Path, progress: Progress) -> list[Path]:
    """Download what is missing from `folder`, check every file, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = list(packages)
    missing = [package for package in packages if not _is_whole(folder / package.file_name, package)]
    if missing:
        _download(missing, folder, progress)
    return [folder / package.file_name for package in packages]


def _download(packages: list[Package], folder: Path, progress: Progress) -> None:
    # apt would rather drop its rights to the user _apt, who may not write here.
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"]
    for package in packages:
        name, version = package.file_name.split("_")[:2]
        command.append(f"{name}={unquote(version)}")
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as apt:
        assert apt.stdout
        said, begun = "", 0
        for said in apt.stdout:
            if said.startswith("Get:"):
                progress(f"Downloading Debian packages ({begun + 1} of {len(packages)})", begun / len(packages))
                begun += 1
    if apt.returncode != 0:
        raise Unavailable(f"apt-get could not download the guest image's packages: {said.strip()}")
    for package in packages:
        if not _is_whole(folder / package.file_name, package):
            raise Unavailable(
                f"The package file {package.file_name} is not what apt's index says; run 'apt-get update'."
            )


def _is_whole(path: Path, package: Package) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == package.size_bytes
        and hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256
    )


class Shelf:
    """Unpacked packages: finds programs, libraries and other files among them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._libraries: dict[str, Path] = {}

    @classmethod
    def unpack(cls, files: Iterable[Path], folder: Path, *, apart: str = "") -> "Shelf":
        """Unpack into `folder`; packages whose name starts with `apart` go to `folder/apart` instead."""
        shelf = cls(folder)
        folder.mkdir(parents=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda file: run("dpkg-deb", "-x", file, shelf.room(file.name, apart)), files))
        return shelf

    def room(self, file_name: str, apart: str) -> Path:
        return self.folder / apart.strip("_") if apart and file_name.startswith(apart) else self.folder

    def find(self, *paths: str) -> Path:
        """Return the first of `paths` that a package holds, whether it says /usr or not."""
        for path in paths:
            for candidate in (self.folder / path, self.folder / "usr" / path, self.folder / path.removeprefix("usr/")):
                if candidate.is_file():
                    return candidate
        raise Unavailable(f"No Debian package that was unpacked holds the file {paths[0]}.")

    def libraries(self, programs: Iterable[Path], besides: set[str]) -> dict[str, Path]:
        """Return soname -> file for all that the programs load, and what that loads in turn, `besides` left out."""
        if not self._libraries:
            found = (p for top in ("lib", "usr/lib") for p in (self.folder / top / "x86_64-linux-gnu").glob("*.so*"))
            self._libraries = {path.name: path for path in found}
        wanted: dict[str, Path] = {}
        waiting = [name for program in programs for name in needed_libraries(program)]
        while waiting:
            name = waiting.pop()
            if name in wanted or name in besides:
                continue
            if name not in self._libraries:
                raise Unavailable(f"No Debian package that was unpacked holds the library {name}.")
            wanted[name] = self._libraries[name].resolve()
            waiting += needed_libraries(wanted[name])
        return wanted
