"""What the kernel needs to know of block storage."""

from pathlib import Path

from pileus.kernel.agent import AgentPart
from pileus.kernel.config import Settings
from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import AgentSettings, CatalogEntry, Service
from pileus.services.block_storage.agent import BlockStoragePart
from pileus.services.block_storage.api import versions
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.app.types import ensure_default_type
from pileus.services.block_storage.drivers.fake import FakeVolumeDriver


class BlockStorageSettings(Settings, frozen=True):
    """Table ``[block_storage]``."""

    folder: str | None = None
    """Where volumes lie; by default ``STATE/block_storage``."""


def make_part(settings: AgentSettings) -> AgentPart:
    """Return this host's part: one driver on one folder."""
    folder = settings.folder("block_storage")
    if settings.fake:
        return BlockStoragePart(FakeVolumeDriver(folder))
    from pileus.services.block_storage.drivers.qcow2 import Qcow2Driver

    chosen = settings.config.get(BlockStorageSettings).folder
    return BlockStoragePart(Qcow2Driver(Path(chosen) if chosen else folder))


def bootstrap(tx: Tx, runtime: Runtime) -> None:
    """Add the default volume type."""
    ensure_default_type(tx)


SERVICE = Service(
    "block_storage",
    "/volume",
    [versions.root, api],
    catalog=[
        CatalogEntry("block-storage", "cinder", "/volume/v3/%(project_id)s", "Block storage: volumes and snapshots"),
        CatalogEntry("volumev3", "cinderv3", "/volume/v3/%(project_id)s", "Block storage: volumes and snapshots"),
    ],
    bootstrap=bootstrap,
    agent=make_part,
    order=60,
)
