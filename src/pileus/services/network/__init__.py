"""Networking: what Neutron calls networks, subnets, ports, routers, floating IPs and security groups."""
