"""What a project may have.  Rule: claimed in the transaction that adds the rows, counted from the rows."""

from sqlalchemy import func, select

from pileus.kernel import quota
from pileus.kernel.db import Tx
from pileus.kernel.errors import OverQuota
from pileus.kernel.quota import Limit
from pileus.services.network.model import Share, SubnetPool
from pileus.services.network.store import groups, networks, ports, routers

SERVICE = "network"


def _count_pools(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(SubnetPool.project_id == project_id)) or 0


def _count_shares(tx: Tx, project_id: str) -> int:
    return tx.scalar(select(func.count()).where(Share.project_id == project_id)) or 0


LIMITS = {
    limit.name: limit
    for limit in (
        Limit(SERVICE, "network", 100, networks.count_networks),
        Limit(SERVICE, "subnet", 100, networks.count_subnets),
        Limit(SERVICE, "subnetpool", -1, _count_pools),
        Limit(SERVICE, "port", 500, ports.count_ports),
        Limit(SERVICE, "router", 10, routers.count_routers),
        Limit(SERVICE, "floatingip", 50, routers.count_floating_ips),
        Limit(SERVICE, "security_group", 10, groups.count_groups),
        Limit(SERVICE, "security_group_rule", 100, groups.count_rules),
        Limit(SERVICE, "rbac_policy", 10, _count_shares),
    )
}


def claim(tx: Tx, project_id: str, name: str, amount: int = 1) -> None:
    """Raise OverQuota unless the project may have ``amount`` more of ``name``."""
    try:
        quota.claim(tx, project_id, LIMITS, {name: amount})
    except OverQuota as error:
        raise OverQuota(
            f"Quota exceeded for resources: ['{name}']. {error.message}", kind="OverQuota", status=409
        ) from None
