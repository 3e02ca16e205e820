"""The Linux-native driver: bridges, VXLAN, taps, namespaces, nftables and dnsmasq, straight on the kernel."""

PACKAGES = ("iproute2", "nftables", "libnftables1", "dnsmasq-base", "kmod")
"""The Debian packages this driver needs."""
