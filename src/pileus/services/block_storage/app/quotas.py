"""How much a project may have.  One rule: limits are rows or defaults, usage is a query."""

from collections.abc import Callable, Mapping

from pileus.kernel import quota
from pileus.kernel.db import Tx
from pileus.kernel.errors import OverQuota
from pileus.kernel.quota import Limit
from pileus.services.block_storage.model import DEFAULT_QUOTAS, Volume, VolumeType
from pileus.services.block_storage.store import backups, snapshots, types, volumes

SERVICE = "block_storage"
CLASS = f"class:{quota.DEFAULT_CLASS}"
PER_TYPE = ("volumes", "gigabytes", "snapshots")


def _count_volumes(tx: Tx, project_id: str) -> int:
    return volumes.usage(tx, project_id)[0]


def _count_snapshots(tx: Tx, project_id: str) -> int:
    return snapshots.usage(tx, project_id)[0]


def _count_gigabytes(tx: Tx, project_id: str) -> int:
    return volumes.usage(tx, project_id)[1] + snapshots.usage(tx, project_id)[1]


def _count_backups(tx: Tx, project_id: str) -> int:
    return backups.usage(tx, project_id)[0]


def _count_backup_gigabytes(tx: Tx, project_id: str) -> int:
    return backups.usage(tx, project_id)[1]


def _nothing(tx: Tx, project_id: str) -> int:
    return 0


_COUNTERS: Mapping[str, Callable[[Tx, str], int]] = {
    "volumes": _count_volumes,
    "snapshots": _count_snapshots,
    "gigabytes": _count_gigabytes,
    "backups": _count_backups,
    "backup_gigabytes": _count_backup_gigabytes,
}
BASE = {name: Limit(SERVICE, name, limit, _COUNTERS.get(name, _nothing)) for name, limit in DEFAULT_QUOTAS.items()}


def _limits_of_type(type_id: str, name: str) -> dict[str, Limit]:
    def gigabytes(tx: Tx, project_id: str) -> int:
        return volumes.usage(tx, project_id, type_id)[1] + snapshots.usage(tx, project_id, type_id)[1]

    counters: Mapping[str, Callable[[Tx, str], int]] = {
        "volumes": lambda tx, project_id: volumes.usage(tx, project_id, type_id)[0],
        "snapshots": lambda tx, project_id: snapshots.usage(tx, project_id, type_id)[0],
        "gigabytes": gigabytes,
    }
    return {f"{base}_{name}": Limit(SERVICE, f"{base}_{name}", quota.UNLIMITED, counters[base]) for base in PER_TYPE}


def all_limits(tx: Tx) -> dict[str, Limit]:
    """Return every limit there is: the declared ones and three for each volume type."""
    found = dict(BASE)
    for id, name in types.type_names(tx).items():
        found.update(_limits_of_type(id, name))
    return found


def claim_volume(tx: Tx, project_id: str, volume_type: VolumeType, size_gib: int) -> None:
    """Raise OverQuota (413 here) unless the project may have one more volume of that type and size."""
    name = volume_type.name
    limits = {**BASE, **_limits_of_type(volume_type.id, name)}
    _check_single(tx, project_id, size_gib)
    _claim(tx, project_id, limits, {"volumes": 1, f"volumes_{name}": 1, **_gigabytes(name, size_gib)})


def claim_snapshot(tx: Tx, volume: Volume, type_name: str) -> None:
    """Raise OverQuota unless the volume's project may have one more snapshot of it."""
    limits = {**BASE, **_limits_of_type(volume.volume_type_id, type_name)}
    wanted = {"snapshots": 1, f"snapshots_{type_name}": 1, **_gigabytes(type_name, volume.size)}
    _claim(tx, volume.project_id, limits, wanted)


def claim_backup(tx: Tx, project_id: str, size_gib: int) -> None:
    """Raise OverQuota unless the project may have one more backup of that size."""
    _claim(tx, project_id, BASE, {"backups": 1, "backup_gigabytes": size_gib})


def claim_growth(tx: Tx, volume: Volume, type_name: str, size_gib: int) -> None:
    """Raise OverQuota unless the volume may grow to that size."""
    limits = {**BASE, **_limits_of_type(volume.volume_type_id, type_name)}
    _check_single(tx, volume.project_id, size_gib)
    _claim(tx, volume.project_id, limits, _gigabytes(type_name, size_gib - volume.size))


def claim_retype(tx: Tx, volume: Volume, volume_type: VolumeType) -> None:
    """Raise OverQuota unless the project may have one more volume of the new type."""
    limits, name = _limits_of_type(volume_type.id, volume_type.name), volume_type.name
    _claim(tx, volume.project_id, limits, {f"volumes_{name}": 1, f"gigabytes_{name}": volume.size})


def claim_transfer(tx: Tx, project_id: str, volume: Volume, type_name: str, snapshot_count: int) -> None:
    """Raise OverQuota unless the project may take over the volume and that many snapshots of it."""
    limits = {**BASE, **_limits_of_type(volume.volume_type_id, type_name)}
    size_gib = volume.size * (1 + snapshot_count)
    wanted = {"volumes": 1, f"volumes_{type_name}": 1, "snapshots": snapshot_count, **_gigabytes(type_name, size_gib)}
    _claim(tx, project_id, limits, wanted)


def _gigabytes(type_name: str, size_gib: int) -> dict[str, int]:
    return {"gigabytes": size_gib, f"gigabytes_{type_name}": size_gib}


def _claim(tx: Tx, project_id: str, limits: Mapping[str, Limit], wanted: Mapping[str, int]) -> None:
    try:
        quota.claim(tx, project_id, limits, wanted)
    except OverQuota as error:
        raise OverQuota(error.message, kind=error.kind, status=413, headers={"Retry-After": "0"}) from error


def _check_single(tx: Tx, project_id: str, size_gib: int) -> None:
    largest = quota.limits_of(tx, project_id, BASE)["per_volume_gigabytes"]
    if largest != quota.UNLIMITED and size_gib > largest:
        raise OverQuota(
            f"Requested volume size {size_gib}G is larger than maximum allowed limit {largest}G of a single volume.",
            status=413,
            headers={"Retry-After": "0"},
        )
