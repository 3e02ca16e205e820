"""Every program that Pileus or its tests start, by the Debian package that brings it.

Rule: a program that is not in this table is not started: ``tests/unit/cli/test_programs.py`` reads the source, and
while tests run each command line is held against it (``tests/programs.py``).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

ON_EVERY_DEBIAN = {
    "apt": ("apt-cache", "apt-config", "apt-get"),
    "coreutils": ("cat", "chroot", "cp", "dd", "env", "nice", "rm", "sleep", "stat", "timeout", "touch", "true"),
    "dash": ("sh",),
    "dpkg": ("dpkg", "dpkg-deb", "dpkg-query"),
    "bash": ("bash",),
    "mount": ("mount", "umount"),
    "util-linux": ("blkid", "mkswap", "nsenter", "prlimit", "setpriv", "su", "unshare"),
}
"""Packages that are essential or required: no minimal Debian is without them."""
PROGRAMS = {
    **ON_EVERY_DEBIAN,
    "busybox": ("busybox", "udhcpc"),
    "chromium": ("chromium",),
    "chromium-driver": ("chromedriver",),
    "cpio": ("cpio",),
    "debootstrap": ("debootstrap",),
    "dnsmasq-base": ("dnsmasq",),
    "dosfstools": ("mkfs.vfat",),
    "e2fsprogs": ("debugfs", "mke2fs", "mkfs.ext4"),
    "gcc": ("cc", "gcc"),
    "git": ("git",),
    "iproute2": ("bridge", "ip", "ss", "tc"),
    "iputils-ping": ("ping",),
    "kmod": ("depmod", "modprobe"),
    "ldap-utils": ("ldapadd", "ldapdelete", "ldapmodify", "ldapsearch"),
    "mariadb-client": ("mariadb", "mariadb-admin", "mariadb-dump"),
    "mariadb-server": ("mariadb-install-db", "mariadbd"),
    "nftables": ("nft",),
    "openssh-client": ("ssh", "ssh-keygen", "scp"),
    "postgresql": ("initdb", "pg_isready", "postgres"),
    "postgresql-client": ("pg_dump", "pg_restore", "psql"),
    "openssl": ("openssl",),
    "procps": ("pgrep", "ps", "sysctl"),
    "python3": ("python3",),
    "qemu-system-common": ("qemu-storage-daemon",),
    "qemu-system-x86": ("qemu-system-x86_64",),
    "qemu-utils": ("qemu-img", "qemu-io", "qemu-nbd"),
    "slirp4netns": ("slirp4netns",),
    "slapd": ("slapadd", "slapd"),
    "sudo": ("sudo",),
    "systemd": ("systemctl",),
    "xmlsec1": ("xmlsec1",),
}
"""Package to programs."""
PACKAGE_OF = {program: package for package, programs in PROGRAMS.items() for program in programs}

_VALUES = {
    "nice": ("-n",),
    "nsenter": ("-t", "--target"),
    "setpriv": ("--pdeathsig",),
    "sudo": ("-u", "-g"),
    "timeout": ("-s", "-k"),
}
"""Of a program that starts another: its options that take a word of their own."""
_WORDS = {"env": 0, "nice": 0, "nsenter": 0, "prlimit": 0, "setpriv": 0, "sudo": 0, "timeout": 1, "unshare": 0}
"""Of a program that starts another: how many words stand between its options and that."""


def started(words: Sequence[object]) -> list[str]:
    """Return the programs that a command line starts: its own and, where that starts another, the other too."""
    left, found = [str(word) for word in words], list[str]()
    while left:
        program, left = left[0], left[1:]
        found.append(program)
        name = Path(program).name
        goes_on = name in ("sh", "bash") and left[:1] == ["-c"] and len(left) > 2 and '"$@"' in left[1]
        if goes_on or (name == "ip" and left[:2] == ["netns", "exec"]):
            left = left[3:]
        elif name in _WORDS:
            while left and (left[0].startswith("-") or (name == "env" and "=" in left[0])):
                left = left[2 if left[0] in _VALUES.get(name, ()) else 1 :]
            left = left[_WORDS[name] :]
        else:
            break
    return found


def unknown(words: Sequence[object]) -> list[str]:
    """Return those programs of a command line that no package of the table brings and no Python environment holds.

    What lies neither where Debian keeps programs nor in the Python environment was made by ourselves.
    """
    ours, wrong = Path(sys.executable).parent, []
    for program in started(words):
        path = Path(program)
        if path.parent == ours or path.name in PACKAGE_OF:
            continue
        if not path.is_absolute() or path.parts[1] in ("usr", "bin", "sbin", "opt"):
            wrong.append(program)
    return wrong
