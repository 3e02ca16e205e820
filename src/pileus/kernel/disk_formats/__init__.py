"""What a disk image really is, read from its own bytes by code that is linear in them and follows nothing."""

from pileus.kernel.disk_formats.files import QEMU_NAMES, check_file
from pileus.kernel.disk_formats.inspector import HEAD_BYTES, Inspector
from pileus.kernel.disk_formats.parts import Facts, UnsafeImage

__all__ = ["HEAD_BYTES", "QEMU_NAMES", "Facts", "Inspector", "UnsafeImage", "check_file"]
