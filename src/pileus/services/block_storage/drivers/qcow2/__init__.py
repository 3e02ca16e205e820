"""Volumes as qcow2 files in one directory; see ``driver.py`` for the layout and the reasons."""

from pileus.services.block_storage.drivers.qcow2.driver import PACKAGES, Qcow2Driver

__all__ = ["PACKAGES", "Qcow2Driver"]
