"""The extensions of the Networking API that are served, besides those that resources declare."""

from pileus.kernel.rest.regular import Extension

LISTED = [
    Extension("agent", "agent", "The agents of the hosts."),
    Extension("allowed-address-pairs", "Allowed Address Pairs", "Further addresses that a port may use."),
    Extension("availability_zone", "Availability Zone", "Availability zones."),
    Extension("binding", "Port Binding", "Which host carries a port, and how it is plugged."),
    Extension("default-subnetpools", "Default Subnetpools", "Default subnet pools."),
    Extension("dns-integration", "DNS Integration", "Names of ports and floating IPs."),
    Extension("dns-domain-ports", "dns_domain for ports", "A DNS domain of a port's own."),
    Extension("empty-string-filtering", "Empty String Filtering Extension", "Filters by the empty string."),
    Extension("ext-gw-mode", "Neutron L3 Configurable external gateway mode", "Source NAT of a router on or off."),
    Extension("external-net", "Neutron external network", "External networks."),
    Extension("extra_dhcp_opt", "Neutron Extra DHCP options", "Extra DHCP options of a port."),
    Extension("extraroute", "Neutron Extra Route", "Extra routes of a router."),
    Extension("extraroute-atomic", "Atomically add/remove extra routes", "Extra routes added and removed atomically."),
    Extension("filter-validation", "Filter parameters validation", "Unknown filters are refused."),
    Extension("fip-port-details", "Floating IP Port Details Extension", "The port of a floating IP in its view."),
    Extension("ip-substring-filtering", "IP address substring filtering", "Ports by a part of their address."),
    Extension("ip_allocation", "IP Allocation", "How a port got its addresses."),
    Extension("net-mtu", "Network MTU", "The MTU of a network."),
    Extension("net-mtu-writable", "Network MTU (writable)", "The MTU of a network can be set."),
    Extension("network-ip-availability", "Network IP Availability", "How many addresses are left."),
    Extension("network_availability_zone", "Network Availability Zone", "Availability zones of networks."),
    Extension("pagination", "Pagination support", "Lists come in pages."),
    Extension("port-security", "Port Security", "Filters and anti-spoofing of a port on or off."),
    Extension("project-id", "project_id field enabled", "project_id beside tenant_id."),
    Extension("provider", "Provider Network", "How a network is realised."),
    Extension("quota_details", "Quota details management support", "Use of quotas."),
    Extension("quotas", "Quota management support", "Quotas of projects."),
    Extension("rbac-address-scope", "Add address_scope type to RBAC", "Address scopes can be shared with projects."),
    Extension("rbac-security-groups", "Add security_group type to network RBAC", "Security groups can be shared."),
    Extension("rbac-subnetpool", "Add subnetpool type to RBAC", "Subnet pools can be shared with projects."),
    Extension(
        "revision-if-match", "If-Match constraints based on revision_number", "Changes only of a known revision."
    ),
    Extension("router", "Neutron L3 Router", "Routers and floating IPs."),
    Extension("router_availability_zone", "Router Availability Zone", "Availability zones of routers."),
    Extension("security-group", "security-group", "Security groups."),
    Extension(
        "security-groups-normalized-cidr", "Normalized CIDR field for security group rules", "Normal form of prefixes."
    ),
    Extension(
        "security-groups-shared-filtering", "Security group filtering on the shared field", "Shared security groups."
    ),
    Extension("service-type", "Neutron Service Type Management", "Providers of services."),
    Extension("sorting", "Sorting support", "Lists in any order."),
    Extension("standard-attr-description", "standard-attr-description", "Descriptions of resources."),
    Extension("standard-attr-revisions", "Resource revision numbers", "Revision numbers of resources."),
    Extension("standard-attr-tag", "Tag support for resources with standard attribute", "Tags of resources."),
    Extension("standard-attr-timestamp", "Resource timestamps", "When resources were made and changed."),
    Extension("stateful-security-group", "Stateful security group", "The stateful attribute of security groups."),
    Extension("subnet-service-types", "Subnet service types", "Subnets for ports of a kind."),
    Extension("subnet_allocation", "Subnet Allocation", "Subnet pools."),
    Extension(
        "subnetpool-prefix-ops", "Subnet Pool Prefix Operations", "Prefixes added to and removed from subnet pools."
    ),
]
