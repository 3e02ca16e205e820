"""What other services and the command line may ask of key management, as functions of their own transaction."""

from pileus.kernel import events
from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.services.key_manager.store import keys

__all__ = ["forget_keys", "reseal_keys", "reseal_some", "rotate_master_key", "rotate_project_keys"]

forget_keys, reseal_keys, reseal_some = keys.forget_keys, keys.reseal_keys, keys.reseal_some


def rotate_master_key(runtime: Runtime) -> None:
    """Have new master keys for what is sealed from now on; running servers notice by themselves."""
    for driver in runtime.part(keys.Stores).drivers.values():
        driver.rotate_master_key()


def rotate_project_keys(tx: Tx, runtime: Runtime, project_id: str | None = None) -> int:
    """Have a new key for one project, or for each; what the old ones sealed is sealed anew, a few at a time.

    Returns how many keys were retired.  A running cloud goes on with it by itself (``reconcile``).
    """
    count = keys.retire_keys(tx, project_id)
    events.emit(tx, "key_manager.project_keys.rotated", project_id or "all", ctx=runtime.internal())
    return count
