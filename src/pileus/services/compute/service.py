"""The compute service, as the kernel knows it."""

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import CatalogEntry, Service
from pileus.services.compute import agent
from pileus.services.compute.api import metadata_service
from pileus.services.compute.api.base import PATH, api, documents
from pileus.services.compute.model import Flavor
from pileus.services.compute.store import catalog

__all__ = ["SERVICE"]

FLAVORS = (
    ("42", "m1.nano", 1, 128, 1),
    ("84", "m1.micro", 1, 192, 1),
    ("c1", "pileus.mini", 1, 256, 1),
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
    ("5", "m1.xlarge", 8, 16384, 160),
)
"""(id, name, processors, MiB of memory, GiB of disk) of the flavors every cloud starts with."""


def bootstrap(tx: Tx, runtime: Runtime) -> None:
    """Add the usual flavors to a cloud that has none."""
    if catalog.any_flavor(tx):
        return
    for id, name, vcpus, memory_mb, disk_gib in FLAVORS:
        tx.add(
            Flavor(
                id=id,
                name=name,
                vcpus=vcpus,
                memory_mb=memory_mb,
                disk_gib=disk_gib,
                extra_specs={},
                disabled=False,
                is_public=True,
                created_at=clock.now(),
            )
        )


SERVICE = Service(
    type="compute",
    path=PATH,
    apis=(api, documents),
    catalog=(CatalogEntry("compute", "nova", f"{PATH}/v2.1", "Compute"),),
    bootstrap=bootstrap,
    mounts={metadata_service.PATH: f"{metadata_service.__name__}:metadata_app"},
    raw_mounts=(metadata_service.PATH,),
    agent=agent.compute_part,
    order=70,
)
