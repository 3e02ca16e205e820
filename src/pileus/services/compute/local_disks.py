"""The disks that a flavor gives beside the root: an ephemeral one and a swap area, on the server's host.

Rule: both come empty with each build or rebuild; a swap area whose size changes is made anew, an ephemeral disk grows.
"""

from collections.abc import Mapping
from typing import Any

from pileus.services.compute.model import Server

EPHEMERAL, SWAP = "ephemeral0", "swap"


def local_devices(flavor: Mapping[str, Any]) -> dict[str, str]:
    """Return the device names of the disks that a server's copy of its flavor gives beside the root, by disk."""
    names = iter(("/dev/vdb", "/dev/vdc"))
    return {disk: next(names) for disk, key in ((EPHEMERAL, "ephemeral"), (SWAP, "swap")) if flavor[key]}


def keeps_data(server: Server) -> bool:
    """Tell whether the server's host holds a disk of it that cannot be made anew elsewhere."""
    return server.image_id is not None or bool(server.flavor["ephemeral"])
