"""``pileus key-manager``: new keys for what key management seals, whether the cloud runs or not.

Rule: every transaction leaves what opens; a run that was interrupted is ended by the next one, or by the cloud itself.
"""

import argparse
import asyncio

from pileus.cli.agent import configuration
from pileus.cli.state import State
from pileus.cli.terminal import Problem, say
from pileus.kernel.errors import ApiError
from pileus.kernel.runtime import Runtime
from pileus.services.key_manager import public


def run(words: argparse.Namespace) -> None:
    """Rotate keys and seal anew what the old ones sealed."""
    try:
        retired, count = asyncio.run(_rotate(Runtime(configuration(State(words.state))), words))
    except ApiError as error:
        raise Problem(error.message) from error
    say(f"{retired} project keys were replaced, {count} secrets are sealed with the new ones.")
    if not words.keep_master:
        say("A new master key seals them. Keep the old ones for backups of the database.")


async def _rotate(runtime: Runtime, words: argparse.Namespace) -> tuple[int, int]:
    try:
        await runtime.attach()
        if not words.keep_master:
            public.rotate_master_key(runtime)
        retired, count = await runtime.db.write(public.rotate_project_keys, runtime, words.project), 0
        while sealed := await runtime.db.write(public.reseal_some):
            count += sealed
        while await runtime.db.write(public.forget_keys):
            continue
        after: str | None = ""
        while after is not None:
            after = await runtime.db.write(public.reseal_keys, after)
        return retired, count
    finally:
        await runtime.db.close()
