"""Ids of other things in bodies and queries; the kernel loads those that it can before a handler runs."""

from typing import Annotated

from pileus.kernel.rest import Id, Name
from pileus.kernel.rest.references import Refers

EMPTY = frozenset({""})
"""Clients send it for "none"."""
VolumeId = Annotated[Id, Refers("volume")]
SnapshotId = Annotated[Id, Refers("snapshot", words=EMPTY)]
VolumeTypeName = Annotated[Name, Refers("volume_type")]
"""A type's name or id."""

SomeVolume = Annotated[Id, Refers("volume", loaded=False)]
SomeSnapshot = Annotated[Id, Refers("snapshot", loaded=False)]
SomeImage = Annotated[Id, Refers("image", loaded=False)]
SomeBackup = Annotated[Id, Refers("backup", loaded=False)]
SomeAttachment = Annotated[Id, Refers("attachment", loaded=False)]
SomeType = Annotated[Name, Refers("volume_type", loaded=False)]
SomeGroup = Annotated[Id, Refers("volume_group", loaded=False)]
"""Those that a list is filtered by, those that Compute names too (``app.volumes`` looks for them, as the caller sees
them), and those that are looked for in a later transaction than that which decodes the body."""
