"""The extensions of the Networking API that are served."""

from typing import Any

_LISTED = {
    "address-scope": ("Address scope", "Address scopes of subnet pools and networks."),
    "agent": ("agent", "The agents of the hosts."),
    "allowed-address-pairs": ("Allowed Address Pairs", "Further addresses that a port may use."),
    "availability_zone": ("Availability Zone", "Availability zones."),
    "binding": ("Port Binding", "Which host carries a port, and how it is plugged."),
    "default-subnetpools": ("Default Subnetpools", "Default subnet pools."),
    "dns-integration": ("DNS Integration", "Names of ports and floating IPs."),
    "dns-domain-ports": ("dns_domain for ports", "A DNS domain of a port's own."),
    "empty-string-filtering": ("Empty String Filtering Extension", "Filters by the empty string."),
    "ext-gw-mode": ("Neutron L3 Configurable external gateway mode", "Source NAT of a router on or off."),
    "external-net": ("Neutron external network", "External networks."),
    "extra_dhcp_opt": ("Neutron Extra DHCP options", "Extra DHCP options of a port."),
    "extraroute": ("Neutron Extra Route", "Extra routes of a router."),
    "extraroute-atomic": ("Atomically add/remove extra routes", "Extra routes added and removed atomically."),
    "filter-validation": ("Filter parameters validation", "Unknown filters are refused."),
    "fip-port-details": ("Floating IP Port Details Extension", "The port of a floating IP in its view."),
    "ip-substring-filtering": ("IP address substring filtering", "Ports by a part of their address."),
    "ip_allocation": ("IP Allocation", "How a port got its addresses."),
    "net-mtu": ("Network MTU", "The MTU of a network."),
    "net-mtu-writable": ("Network MTU (writable)", "The MTU of a network can be set."),
    "network-ip-availability": ("Network IP Availability", "How many addresses are left."),
    "network_availability_zone": ("Network Availability Zone", "Availability zones of networks."),
    "pagination": ("Pagination support", "Lists come in pages."),
    "port-security": ("Port Security", "Filters and anti-spoofing of a port on or off."),
    "project-id": ("project_id field enabled", "project_id beside tenant_id."),
    "provider": ("Provider Network", "How a network is realised."),
    "quota_details": ("Quota details management support", "Use of quotas."),
    "quotas": ("Quota management support", "Quotas of projects."),
    "rbac-address-scope": ("Add address_scope type to RBAC", "Address scopes can be shared with projects."),
    "rbac-policies": ("RBAC Policies", "Networks can be shared with projects."),
    "rbac-security-groups": ("Add security_group type to network RBAC", "Security groups can be shared."),
    "rbac-subnetpool": ("Add subnetpool type to RBAC", "Subnet pools can be shared with projects."),
    "revision-if-match": ("If-Match constraints based on revision_number", "Changes only of a known revision."),
    "router": ("Neutron L3 Router", "Routers and floating IPs."),
    "router_availability_zone": ("Router Availability Zone", "Availability zones of routers."),
    "security-group": ("security-group", "Security groups."),
    "security-groups-normalized-cidr": ("Normalized CIDR field for security group rules", "Normal form of prefixes."),
    "security-groups-shared-filtering": ("Security group filtering on the shared field", "Shared security groups."),
    "service-type": ("Neutron Service Type Management", "Providers of services."),
    "sorting": ("Sorting support", "Lists in any order."),
    "standard-attr-description": ("standard-attr-description", "Descriptions of resources."),
    "standard-attr-revisions": ("Resource revision numbers", "Revision numbers of resources."),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "Tags of resources."),
    "standard-attr-timestamp": ("Resource timestamps", "When resources were made and changed."),
    "stateful-security-group": ("Stateful security group", "The stateful attribute of security groups."),
    "subnet-service-types": ("Subnet service types", "Subnets for ports of a kind."),
    "subnet_allocation": ("Subnet Allocation", "Subnet pools."),
    "subnetpool-prefix-ops": ("Subnet Pool Prefix Operations", "Prefixes added to and removed from subnet pools."),
}

EXTENSIONS: list[dict[str, Any]] = [
    {"alias": alias, "name": name, "description": text, "updated": "2026-01-01T00:00:00-00:00", "links": []}
    for alias, (name, text) in _LISTED.items()
]
