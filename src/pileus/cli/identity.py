"""``pileus identity``: what an operator of the cloud does about people and keys without a token.

Rule: a password is asked for, read from standard input, or made up; it is never a word of the command line.
"""

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Callable
from typing import Any

from pileus.cli.settings import configuration
from pileus.cli.state import State, write_atomically
from pileus.cli.terminal import Problem, say, table
from pileus.kernel import ids
from pileus.kernel.config import Configuration
from pileus.kernel.errors import ApiError
from pileus.kernel.runtime import Runtime
from pileus.services.identity.public import administration


def run(words: argparse.Namespace) -> None:
    """Do one task; each may be done again, whether the cloud runs or not."""
    state = State(words.state)
    config = configuration(state)
    if words.verb in ("unlock", "set-password") and words.user is None:
        raise Problem(f"Whom is `{words.verb}` for?", f"`pileus identity {words.verb} NAME`, or NAME@DOMAIN, or an id.")
    try:
        VERBS[words.verb](state, config, words)
    except ApiError as error:
        raise Problem(error.message) from error


def bootstrap(state: State, config: Configuration, words: argparse.Namespace) -> None:
    """Put back what the administrator needs; with ``--generate`` give it a password too."""
    password = _password(words) if words.generate else None
    done = _write(config, administration.restore_administrator, password)
    for sentence in done:
        say(sentence)
    if not done:
        say("Nothing was missing.")
    if password is not None:
        _keep(state, "admin", password)


def locked(state: State, config: Configuration, words: argparse.Namespace) -> None:
    """Print who cannot log in although the password is right."""
    found = asyncio.run(_in_cloud(config, administration.list_hindered, write=False))
    if not found:
        say("Nobody is locked out, expired, inactive or disabled.")
        return
    table([(one.name, one.domain, one.user_id, one.why) for one in found], ("user", "domain", "id", "why"))


def unlock(state: State, config: Configuration, words: argparse.Namespace) -> None:
    """Let somebody who was locked out log in again."""
    say(f"{_write(config, administration.unlock, words.user)} may log in again.")


def set_password(state: State, config: Configuration, words: argparse.Namespace) -> None:
    """Give somebody a password; the tokens there are end."""
    password = _password(words)
    name = _write(config, administration.reset_password, words.user, password)
    say(f"The password of {name} is set; the user is enabled, unlocked, and its tokens have ended.")
    _keep(state, name, password)


def rotate_keys(state: State, config: Configuration, words: argparse.Namespace) -> None:
    """Let the next key sign tokens; or, with ``--credentials``, seal every credential with a new key."""
    runtime = Runtime(config)
    if not words.credentials:
        administration.rotate_token_keys(runtime)
        asyncio.run(runtime.db.close())
        say("The next token key signs from now on; tokens of the last keys stay good until they end.")
        return
    administration.rotate_credential_keys(runtime)
    asyncio.run(runtime.db.close())
    say(f"{_write(config, administration.seal_anew)} secrets are sealed with a new key. Keep the old ones for backups.")


VERBS: dict[str, Callable[[State, Configuration, argparse.Namespace], None]] = {
    "bootstrap": bootstrap,
    "locked": locked,
    "unlock": unlock,
    "set-password": set_password,
    "rotate-keys": rotate_keys,
}


def _password(words: argparse.Namespace) -> str:
    if words.generate:
        password = ids.new_secret(24)
        say(f"password: {password}")
        return password
    password = getpass.getpass("new password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not password:
        raise Problem("There is no password.", "Type one, pipe one in, or use --generate.")
    return password


def _keep(state: State, name: str, password: str) -> None:
    """Let ``pileus openrc`` know the new password of one of the first users."""
    known = state.credentials()
    changed = [entry for entry in known.values() if entry["user"] == name]
    for entry in changed:
        entry["password"] = password
    if changed:
        write_atomically(state.path / "credentials.json", json.dumps(known, indent=2) + "\n")


def _write(config: Configuration, work: Callable[..., Any], *args: Any) -> Any:
    return asyncio.run(_in_cloud(config, work, *args, write=True))


async def _in_cloud(config: Configuration, work: Callable[..., Any], *args: Any, write: bool) -> Any:
    runtime = Runtime(config)
    try:
        return await (runtime.db.write if write else runtime.db.read)(work, runtime, *args)
    finally:
        await runtime.db.close()
