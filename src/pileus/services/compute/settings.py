"""Settings of the compute service: the table ``[compute]`` of ``pileus.toml``."""

from pileus.kernel.config import Settings


class ComputeSettings(Settings, frozen=True):
    """What an operator may choose."""

    cpu_allocation_ratio: float = 4.0
    """Virtual processors per real one."""
    ram_allocation_ratio: float = 1.0
    """Memory promised to guests per memory that is there."""
    disk_allocation_ratio: float = 2.0
    """Root disks are thin: what is promised may be more than what is there."""
    reserved_memory_mb: int = 512
    """Memory of a host that no guest gets."""
    keep_deleted_days: float = 90
    """How long deleted servers stay as rows, for audits, usage and ``changes-since``; 0: for ever."""
    novnc: str = "/usr/share/novnc"
    """Where the console page's files are (Debian package ``novnc``)."""
