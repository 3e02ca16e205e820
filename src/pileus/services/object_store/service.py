"""Object storage as the kernel sees it."""

from pileus.kernel.config import Configuration
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import CatalogEntry, Service
from pileus.services.object_store.api.answers import api, root
from pileus.services.object_store.app.blobs import ObjectStoreSettings, blobs_of


def at_root(config: Configuration) -> tuple[str, ...]:
    """Return what is also answered without ``/object-store`` before it."""
    return ("v1", "info", "healthcheck") if config.get(ObjectStoreSettings).at_root else ()


async def start(runtime: Runtime) -> None:
    """Settle what a crash left, then clean in the background."""
    await blobs_of(runtime).start(runtime)


async def stop(runtime: Runtime) -> None:
    """Let commits end, leave no thread behind."""
    await blobs_of(runtime).close()


SERVICE = Service(
    "object_store",
    "/object-store",
    [api, root],
    [CatalogEntry("object-store", "swift", "/object-store/v1/AUTH_%(project_id)s", "Object storage")],
    at_root=at_root,
    start=start,
    stop=stop,
    order=20,
)
