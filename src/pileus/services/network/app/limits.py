"""What a project may have.  Rule: claimed in the transaction that adds the rows, counted from the rows."""

from pileus.dialects import neutron
from pileus.kernel.db import Tx
from pileus.kernel.quota import Limit
from pileus.services.network.store import groups, networks, ports, routers

SERVICE = "network"


LIMITS = {
    limit.name: limit
    for limit in (
        Limit(SERVICE, "network", 100, networks.count_networks),
        Limit(SERVICE, "subnet", 100, networks.count_subnets),
        Limit(SERVICE, "port", 500, ports.count_ports),
        Limit(SERVICE, "router", 10, routers.count_routers),
        Limit(SERVICE, "floatingip", 50, routers.count_floating_ips),
        Limit(SERVICE, "security_group", 10, groups.count_groups),
        Limit(SERVICE, "security_group_rule", 100, groups.count_rules),
    )
}
"""By name.  Those of resources that say so in their declaration (``quota=``) join when it is imported."""


def claim(tx: Tx, project_id: str, name: str, amount: int = 1) -> None:
    """Raise OverQuota unless the project may have ``amount`` more of ``name``."""
    neutron.claim(tx, project_id, LIMITS, name, amount)
