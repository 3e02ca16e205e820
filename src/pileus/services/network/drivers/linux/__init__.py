"""The Linux-native driver: bridges, VXLAN, taps, namespaces, nftables and dnsmasq, straight on the kernel."""
