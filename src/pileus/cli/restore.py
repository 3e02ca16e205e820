"""``pileus restore FILE``: a cloud from its backup, in a state directory of its own.

Rule: everything is read and checked before anything is changed; the state directory appears last and whole, so that
a restore that dies is begun anew and no cloud starts on half of one.
"""

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

from pileus.cli.backup import CHUNK, DATABASE, FILES, FORMAT, MANIFEST, OBJECTS, SUMS
from pileus.cli.state import ROLES, State
from pileus.cli.terminal import Problem, Step, Steps, say
from pileus.kernel.config import Configuration
from pileus.kernel.db import dump
from pileus.kernel.errors import ApiError
from pileus.services.object_store import public as object_store


def run(words: argparse.Namespace) -> None:
    """Check the backup, and unless only that was asked for, put it in place."""
    source, state, steps = Path(words.file).absolute(), State(words.state), Steps()
    try:
        with steps.step("checking the backup") as step:
            manifest = check(source, step)
        say(f"  made {manifest['began_at']} of {manifest['state']} by Pileus {manifest['pileus']}")
        if words.check:
            return
        _refuse_to_overwrite(state, replace=words.replace)
        _restore(source, state, manifest, words, steps)
    except ApiError as error:
        raise Problem(error.message) from error
    say(f"\nThe cloud is restored in {state.path}. Start it: pileus up --state {state.path}")


def check(source: Path, step: Step) -> dict[str, Any]:
    """Read the whole backup, compare every sum, return the manifest; raise Problem naming what is wrong."""
    found: dict[str, str] = {}
    manifest: dict[str, Any] = {}
    told: str | None = None
    try:
        size = source.stat().st_size
        with tarfile.open(source, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is None:
                    raise Problem(f"{source} holds {member.name}, which is no file: it is no backup of Pileus.")
                if member.name == MANIFEST:
                    manifest = json.loads(content.read())
                    content.seek(0)
                if member.name == SUMS:
                    told = content.read().decode()
                    continue
                sum = hashlib.sha256()
                while data := content.read(CHUNK):
                    sum.update(data)
                found[member.name] = sum.hexdigest()
                step.fraction(archive.offset / size)
    except FileNotFoundError:
        raise Problem(f"There is no file {source}.") from None
    except (tarfile.TarError, ValueError, OSError) as error:
        raise Problem(f"{source} is damaged or no backup of Pileus: {error}.", "Use another backup.") from error
    if told is None:
        raise Problem(f"{source} ends early: its list of sums is missing.", "Use another backup.")
    wanted = {name: sum for sum, _, name in (line.partition("  ") for line in told.splitlines())}
    if wrong := sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)):
        raise Problem(f"{source} is damaged: {wrong[0]} is not what was written.", "Use another backup.")
    if manifest.get("format") != FORMAT:
        raise Problem(f"{source} has format {manifest.get('format')}, this program reads {FORMAT}.")
    return manifest


def _refuse_to_overwrite(state: State, *, replace: bool) -> None:
    running = [role for role in ROLES if state.pid(role) is not None]
    if running:
        raise Problem(
            f"The cloud in {state.path} is running ({', '.join(running)}).",
            "Stop it first (`pileus down`), or restore into another directory with --state.",
        )
    if state.path.exists() and any(state.path.iterdir()) and not replace:
        raise Problem(
            f"{state.path} is not empty.",
            "Restore into another directory with --state, or put the old one aside with --replace.",
        )


def _restore(source: Path, state: State, manifest: dict[str, Any], words: argparse.Namespace, steps: Steps) -> None:
    fresh = state.path.with_name(f".{state.path.name}.restoring")
    shutil.rmtree(fresh, ignore_errors=True)  # of a restore that died
    fresh.mkdir(mode=0o711, parents=True)
    with steps.step("writing settings, keys and objects") as step:
        _extract(source, fresh, step)
    config = _settings(fresh, words.database)
    if dump.kind(config.database_url) != manifest["engine"]:
        raise Problem(
            f"The backup is of {manifest['engine']}, [cloud] database names {dump.kind(config.database_url)}.",
            "Name a database of the same kind with --database.",
        )
    outside = object_store.folder_of(config)
    if not outside.is_relative_to(fresh) and outside.exists() and any(outside.glob("*/objects/*")):
        raise Problem(f"{outside}, where objects belong, is not empty.", "Empty it, or put it aside.")
    with steps.step("loading the database"):
        asyncio.run(dump.load(config.database_url, fresh / ".database", manifest["revision"]))
        (fresh / ".database").unlink()
    outside.mkdir(parents=True, exist_ok=True)
    for device in sorted((fresh / ".objects").glob("*")):
        shutil.move(device, outside / device.name)
    shutil.rmtree(fresh / ".objects", ignore_errors=True)
    with steps.step("putting it in place"):
        os.sync()
        if state.path.exists():
            aside = state.path.with_name(f"{state.path.name}.before-{time.strftime('%Y%m%dT%H%M%S')}")
            state.path.rename(aside)
            say(f"  the old directory is now {aside}")
        fresh.rename(state.path)
        os.sync()


def _extract(source: Path, fresh: Path, step: Step) -> None:
    size = source.stat().st_size
    with tarfile.open(source, mode="r:") as archive:
        for member in archive:
            for prefix, folder in ((FILES, ""), (OBJECTS, ".objects/"), (DATABASE, ".database")):
                if member.name.startswith(prefix):
                    _write(archive, member, fresh, folder + member.name.removeprefix(prefix))
                    break
            step.fraction(archive.offset / size)
    (fresh / ".objects").mkdir(exist_ok=True)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, fresh: Path, name: str) -> None:
    """Write one file of the backup below ``fresh``; it is ours, and nobody else may write it.

    By hand: the filters of ``tarfile`` that make sure of this came with Python 3.11.4, Debian 12 has 3.11.2.
    """
    target = fresh / name
    content = archive.extractfile(member) if member.isreg() else None
    if content is None or not Path(os.path.normpath(target)).is_relative_to(fresh):
        raise Problem(f"The backup holds {member.name}, which it may not: it is no backup of Pileus.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(content, file, CHUNK)
    target.chmod(member.mode & 0o755)
    os.utime(target, (member.mtime, member.mtime))


def _settings(fresh: Path, database: str | None) -> Configuration:
    """Return the settings that the backup brought; another database is written into them."""
    if database is None:
        return Configuration.load(fresh)
    path = fresh / "pileus.toml"
    text = path.read_text() if path.exists() else ""
    lines = [line for line in text.splitlines() if not line.replace(" ", "").startswith("database=")]
    if "[cloud]" not in lines:
        lines.append("[cloud]")
    lines.insert(lines.index("[cloud]") + 1, f"database = {json.dumps(database)}")
    path.write_text("\n".join(lines) + "\n")
    return Configuration.load(fresh)
