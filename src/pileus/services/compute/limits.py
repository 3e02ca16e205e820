"""What a project may have of compute.  Rule: usage is counted from rows in the transaction that wants more."""

from pileus.kernel.db import Tx
from pileus.kernel.errors import OverQuota
from pileus.kernel.quota import UNLIMITED, Limit, limits_of
from pileus.services.compute.store import catalog
from pileus.services.compute.store import servers as store

SERVICE = "compute"


def _nothing(tx: Tx, project_id: str) -> int:
    """Usage of what is limited per server or per group, not per project."""
    return 0


LIMITS = {
    limit.name: limit
    for limit in (
        Limit(SERVICE, "instances", 10, store.count_of_project),
        Limit(SERVICE, "cores", 20, store.vcpus_of_project),
        Limit(SERVICE, "ram", 51200, store.memory_of_project),
        Limit(SERVICE, "metadata_items", 128, _nothing),
        Limit(SERVICE, "key_pairs", 100, catalog.count_key_pairs),
        Limit(SERVICE, "server_groups", 10, catalog.count_groups),
        Limit(SERVICE, "server_group_members", 10, _nothing),
        Limit(SERVICE, "injected_files", 5, _nothing),
        Limit(SERVICE, "injected_file_content_bytes", 10240, _nothing),
        Limit(SERVICE, "injected_file_path_bytes", 255, _nothing),
    )
}
"""By name.  ``key_pairs`` belong to users: their count takes the user's id, their limit is the project's."""
NETWORK_LIMITS = {
    name: Limit(SERVICE, name, default, _nothing)
    for name, default in {
        "floating_ips": 10,
        "fixed_ips": -1,
        "security_groups": 10,
        "security_group_rules": 20,
    }.items()
}
"""What old versions of the API also show and keep; as upstream they bound nothing: the network's own limits do."""
SHOWN = {**LIMITS, **NETWORK_LIMITS}


def claim_key_pair(tx: Tx, project_id: str, user_id: str) -> None:
    """Raise OverQuota unless a user may have one more key pair under the limit of the project he works in."""
    ceiling = limits_of(tx, project_id, LIMITS)["key_pairs"]
    if ceiling != UNLIMITED and catalog.count_key_pairs(tx, user_id) >= ceiling:
        raise OverQuota(f"Quota exceeded, too many key pairs: {ceiling} are allowed. Delete one that is not used.")


def claim_per_server(tx: Tx, project_id: str, name: str, wanted: int) -> None:
    """Raise OverQuota unless one server (or group) may have ``wanted`` of what is limited for each."""
    ceiling = limits_of(tx, project_id, LIMITS)[name]
    if ceiling != UNLIMITED and wanted > ceiling:
        raise OverQuota(f"Quota exceeded for {name}: {wanted} are wanted, {ceiling} are allowed.")
