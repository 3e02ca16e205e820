"""The durable verbs of block storage.  One rule: each ends in a state a user can act on, whatever fails."""

from pileus.services.block_storage.operations.snapshots import CreateSnapshot, DeleteSnapshot
from pileus.services.block_storage.operations.uploads import UploadVolume
from pileus.services.block_storage.operations.volumes import CreateVolume, DeleteVolume, ExtendVolume, RevertVolume

__all__ = [
    "CreateSnapshot",
    "CreateVolume",
    "DeleteSnapshot",
    "DeleteVolume",
    "ExtendVolume",
    "RevertVolume",
    "UploadVolume",
]
