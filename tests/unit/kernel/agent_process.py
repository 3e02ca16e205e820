"""A real agent process for the bus tests: ``python -m tests.unit.kernel.agent_process NAME YARD SOCKETS``."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from pileus.kernel.agent.process import serve

from .yard import EnsureBlock, Yard


def before(command):
    """Do what the command's kind says: die in the middle of it, or take long over it."""
    kind = getattr(command, "kind", "")
    if isinstance(command, EnsureBlock) and kind == "deadly":
        mark = Path(sys.argv[2]) / f"{command.id}.died"
        if not mark.exists():
            mark.write_text("once")
            os.kill(os.getpid(), signal.SIGKILL)
    if kind == "slow":
        return asyncio.sleep(5)
    return None


def main() -> None:
    name, folder, sockets, *rest = sys.argv[1:]
    yard = Yard(Path(folder))
    yard.before = before
    options = {"tcp": [rest[0]], "key_folder": Path(rest[1])} if rest else {"folder": Path(sockets)}
    asyncio.run(serve(name, [yard], ready=lambda: print("ready", flush=True), **options))


if __name__ == "__main__":
    main()
