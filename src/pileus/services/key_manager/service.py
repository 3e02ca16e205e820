"""What the kernel needs to know of key management."""

from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import CatalogEntry, Service
from pileus.services.key_manager.api.base import api
from pileus.services.key_manager.api.versions import root
from pileus.services.key_manager.operations.orders import Makers
from pileus.services.key_manager.store.keys import ensure_stores


def bootstrap(tx: Tx, runtime: Runtime) -> None:
    """Add the stores of secrets."""
    ensure_stores(tx)


async def stop(runtime: Runtime) -> None:
    """Let the threads end."""
    runtime.part(Makers).close()


SERVICE = Service(
    "key_manager",
    "/key-manager",
    [root, api],
    catalog=[CatalogEntry("key-manager", "barbican", "/key-manager", "Key management: secrets and their keys")],
    bootstrap=bootstrap,
    stop=stop,
    order=10,
)
