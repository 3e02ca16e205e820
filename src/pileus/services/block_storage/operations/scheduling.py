"""Which pool a volume goes to.  One rule: a refusal names, for every host, what it lacks."""

from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.services.block_storage.model import Volume, VolumeType
from pileus.services.block_storage.store import backends
from pileus.services.block_storage.store.backends import Backend

RESERVED_GIB = 1.0
"""Space that stays free on the disk, for its file system and for the database that may share it."""
VENDOR = "Open Source"
KNOWN_SPECS = frozenset({"multiattach", "RESKEY:availability_zones", "replication_enabled"})


def choose(tx: Tx, volume: Volume, near: str | None = None) -> Backend:
    """Return the pool with the most free space that may take the volume; ``near`` binds it to its source's pool.

    Raises Conflict, which ends the operation at once: the user sees the reason now and not after a deadline.
    """
    volume_type = tx.get(VolumeType, volume.volume_type_id)
    refusals, fit = [], []
    for backend in backends.list_backends(tx):
        why = _refusal(backend, volume_type, volume.size, near)
        if why is None:
            fit.append(backend)
        else:
            refusals.append(f"{backend.host} {why}")
    if not fit:
        told = "; ".join(refusals) or "no host with a volume pool has reported yet"
        raise Conflict(f"No valid backend was found for volume {volume.id} of {volume.size} GiB: {told}.")
    return max(fit, key=lambda backend: (backend.facts.free_gib, backend.host))


def unfit(tx: Tx, pool: str | None, volume_type: VolumeType) -> str | None:
    """Return why the pool a volume lives in cannot satisfy a type, None when it can."""
    for backend in backends.list_backends(tx):
        if backend.pool == pool:
            return _lacks(backend, volume_type)
    return f"the pool {pool} is unknown"


def _refusal(backend: Backend, volume_type: VolumeType | None, size_gib: int, near: str | None) -> str | None:
    if near is not None and backend.pool != near:
        return "does not hold the source"
    if not backend.up:
        return "is down"
    if backend.disabled:
        return f"is disabled ({backend.disabled_reason or 'no reason given'})"
    if backend.facts.error is not None:
        return f"cannot tell its pool's state ({backend.facts.error})"
    if backend.facts.free_gib < RESERVED_GIB:
        return f"has {backend.facts.free_gib} GiB free, less than the {RESERVED_GIB} GiB that stay in reserve"
    if backend.facts.total_gib < size_gib:
        return f"has a pool of {backend.facts.total_gib} GiB, smaller than the volume"
    return _lacks(backend, volume_type) if volume_type is not None else None


def _lacks(backend: Backend, volume_type: VolumeType) -> str | None:
    offered = {
        "volume_backend_name": backend.facts.driver,
        "storage_protocol": backend.facts.storage_protocol,
        "vendor_name": VENDOR,
        "thin_provisioning_support": "<is> True",
    }
    for key, wanted in volume_type.extra_specs.items():
        key = key.removeprefix("capabilities:")
        if ":" in key or key in KNOWN_SPECS:
            continue
        if offered.get(key, "").lower() != wanted.lower():
            return f"does not offer {key}={wanted}, which the type {volume_type.name} asks for"
    return None
