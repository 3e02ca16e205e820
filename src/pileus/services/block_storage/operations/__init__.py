"""The durable verbs of block storage.  One rule: each ends in a state a user can act on, whatever fails."""

from pileus.services.block_storage.operations.backups import CreateBackup, DeleteBackup, RestoreBackup
from pileus.services.block_storage.operations.snapshots import CreateSnapshot, DeleteSnapshot
from pileus.services.block_storage.operations.uploads import UploadVolume
from pileus.services.block_storage.operations.volumes import (
    CreateVolume,
    DeleteVolume,
    ExtendVolume,
    RevertVolume,
    forget,
)

__all__ = [
    "CreateBackup",
    "CreateSnapshot",
    "CreateVolume",
    "DeleteBackup",
    "DeleteSnapshot",
    "DeleteVolume",
    "ExtendVolume",
    "RestoreBackup",
    "RevertVolume",
    "UploadVolume",
    "forget",
]
