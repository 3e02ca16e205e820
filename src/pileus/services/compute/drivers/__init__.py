"""Drivers that run guests: `qemu` for real ones, `fake` for clouds without a hypervisor."""
