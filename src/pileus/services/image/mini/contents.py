"""What is inside pileus-mini: the initramfs and the root tree, put together from unpacked Debian packages.

One rule: the way from power-on to ssh is short. Boot scripts run in one static busybox whose shell needs no new
program for its commands; what people type is the ordinary programs.
"""

import re
import subprocess
from pathlib import Path

from pileus.services.image.mini.packages import Shelf, run
from pileus.services.image.mini.tree import Tree

LABEL = "pileus-mini"
USER = "demo"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = (
    "busybox", "busybox-static", "ca-certificates", "curl", "dropbear-bin", "e2fsprogs", "grub-common", "grub-pc-bin",
    "iputils-ping", "libpam-modules", "mount", "netcat-openbsd", "openssh-sftp-server", "socat", "sudo", "util-linux",
)  # fmt: skip
"""Debian packages whose files go into the guest or make its boot loader; the kernel and libraries are found by apt."""

PROGRAMS = (
    "sbin/dropbear", "bin/dbclient", "bin/dropbearkey", "bin/curl", "bin/sudo", "bin/mount", "bin/umount", "bin/lsblk",
    "bin/ping", "bin/nc.openbsd", "bin/socat", "sbin/blkid", "sbin/mkfs", "sbin/mke2fs", "sbin/resize2fs",
    "sbin/e2fsck", "lib/openssh/sftp-server",
)  # fmt: skip
LINKS = {
    "bin/ssh": "dbclient", "bin/ping4": "ping", "bin/ping6": "ping", "lib/sftp-server": "openssh/sftp-server",
    "sbin/mkfs.ext2": "mke2fs", "sbin/mkfs.ext3": "mke2fs", "sbin/mkfs.ext4": "mke2fs", "sbin/fsck.ext4": "e2fsck",
}  # fmt: skip
_ROOT_ONLY = re.compile(r"(busybox|init|linuxrc|dpkg.*|rpm.*|nuke|run-init|udhcpd|svc|svok|ubirename)$")

VIRTIO = ("virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk")
SCSI = (
    "scsi_common", "scsi_mod", "crc-t10dif", "crc64-rocksoft", "t10-pi", "cdrom", "sd_mod", "libata", "ata_piix",
    "libahci", "ahci", "virtio_scsi",
)  # fmt: skip
BOOT = ("virtio-rng", "failover", "net_failover", "virtio_net")
FURTHER = (
    "virtio_console", "virtio_balloon", "button", "evdev", "sr_mod", "isofs", "vfat", "nls_cp437", "nls_iso8859-1",
    "nls_ascii", "fuse", "virtiofs", "9p", "9pnet_virtio", "8021q", "dummy", "e1000", "nvme",
)  # fmt: skip


def script(name: str) -> bytes:
    """Return one of the guest's own files, kept beside this module."""
    return (Path(__file__).parent / "guest" / name).read_bytes()


class Modules:
    """The kernel modules of an unpacked kernel package, found by name."""

    def __init__(self, shelf: Shelf) -> None:
        (self.folder,) = (
            (shelf.folder / "lib/modules").glob("*")
            if (shelf.folder / "lib/modules").is_dir()
            else (shelf.folder / "usr/lib/modules").glob("*")
        )
        self.release = self.folder.name
        self._files = {path.stem.replace("-", "_"): path for path in (self.folder / "kernel").rglob("*.ko")}

    def file(self, name: str) -> Path | None:
        """Return the module's file, or None where this kernel has it built in or not at all."""
        return self._files.get(name.replace("-", "_"))

    def with_needs(self, names: tuple[str, ...]) -> dict[str, Path]:
        """Return the modules and all that they depend on, each after what it needs."""
        ordered: dict[str, Path] = {}

        def visit(name: str) -> None:
            file = self.file(name)
            if file and name.replace("-", "_") not in ordered:
                declared = re.search(rb"\0depends=([^\0]*)\0", file.read_bytes())
                for need in declared[1].decode().split(",") if declared else ():
                    if need:
                        visit(need)
                ordered[name.replace("-", "_")] = file

        for name in names:
            visit(name)
        return ordered


def initramfs(shelf: Shelf, modules: Modules) -> Tree:
    """Return the tree of stage 1: busybox, disk drivers and the script that mounts the root."""
    tree = Tree()
    for folder in ("dev", "proc", "sys", "root", "modules"):
        tree.directory(folder)
    tree.file("busybox", static_busybox(shelf), 0o755)
    for applet in ("mount", "switch_root", "sh"):
        tree.link(f"bin/{applet}", "/busybox")  # the shell runs its other commands through /proc, while that is there
    tree.file("init", script("initramfs-init"), 0o755)
    for list_name, names in (("virtio", VIRTIO), ("scsi", SCSI)):
        wanted = modules.with_needs(names)
        tree.file(list_name, "\n".join(wanted) + "\n")
        for name, file in wanted.items():
            tree.file(f"modules/{name}.ko", file)
    return tree


def static_busybox(shelf: Shelf) -> Path:
    return shelf.find("busybox-static/bin/busybox", "busybox-static/usr/bin/busybox")


def root(shelf: Shelf, modules: Modules, password_hash: str, ramdisk: bytes, scratch: Path) -> Tree:
    """Return the guest's root tree; `scratch` is a folder for depmod to work in."""
    tree = Tree()
    for top in ("bin", "sbin", "lib", "lib64"):
        tree.directory(f"usr/{top}")
        tree.link(top, f"usr/{top}")
    for folder in (
        "dev",
        "proc",
        "sys",
        "run",
        "mnt",
        "media",
        "opt",
        "srv",
        "var/log",
        "var/lib/cloud",
        "etc/dropbear",
    ):
        tree.directory(folder)
    tree.directory("tmp", 0o1777)
    tree.directory("root", 0o700)
    tree.directory("home/demo", 0o755, 1000, 1000)
    tree.link("var/run", "/run")
    _programs(tree, shelf)
    _modules(tree, modules, scratch)
    _configuration(tree, shelf, password_hash)
    tree.file("boot/vmlinuz", shelf.find(f"boot/vmlinuz-{modules.release}"))
    tree.file("boot/initrd", ramdisk)
    return tree


def _programs(tree: Tree, shelf: Shelf) -> None:
    shell = shelf.find("bin/busybox")
    found = {f"usr/{name}": shelf.find(name) for name in PROGRAMS}
    for path, file in found.items():
        tree.file(path, file, 0o4755 if path == "usr/bin/sudo" else 0o755)
    sudo_folder = next(folder for folder in ("usr/libexec/sudo", "usr/lib/sudo") if (shelf.folder / folder).is_dir())
    for name in ("sudoers.so", "libsudo_util.so.0"):
        found[f"{sudo_folder}/{name}"] = file = (shelf.folder / sudo_folder / name).resolve()
        tree.file(f"{sudo_folder}/{name}", file)
    permit = shelf.find("lib/x86_64-linux-gnu/security/pam_permit.so")
    tree.file("usr/lib/x86_64-linux-gnu/security/pam_permit.so", permit)
    for name, file in shelf.libraries([*found.values(), shell, permit], besides={"libsudo_util.so.0"}).items():
        tree.file(f"usr/lib/x86_64-linux-gnu/{name}", file, 0o755)
    tree.link("usr/lib64/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    for path, target in LINKS.items():
        tree.link(f"usr/{path}", target)
    tree.file("usr/bin/nc", script("nc"), 0o755)
    tree.file("usr/bin/busybox", shell, 0o755)
    tree.file("usr/lib/boot/busybox", static_busybox(shelf), 0o755)
    tree.link("usr/sbin/init", "/usr/lib/boot/busybox")
    for binary, target in ((shell, "busybox"), (static_busybox(shelf), "/usr/lib/boot/busybox")):
        for applet in run(binary, "--list").split():
            taken = any(f"usr/{folder}/{applet}" in tree for folder in ("bin", "sbin"))
            if not taken and not _ROOT_ONLY.match(applet):
                tree.link(f"usr/bin/{applet}", target)
    for applet in ("getty", "reboot", "poweroff", "halt", "udhcpc", "modprobe", "ip", "ifconfig"):
        tree.link(f"usr/sbin/{applet}", "../bin/busybox")


def _modules(tree: Tree, modules: Modules, scratch: Path) -> None:
    wanted = modules.with_needs((*VIRTIO, *SCSI, *BOOT, *FURTHER))
    base = f"lib/modules/{modules.release}"
    staging = Tree()
    for file in wanted.values():
        staging.file(f"{base}/{file.relative_to(modules.folder)}", file)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        staging.file(f"{base}/{name}", modules.folder / name)
    staging.write(scratch / "modules")
    run("depmod", "-b", scratch / "modules", modules.release)
    for path in sorted((scratch / "modules" / base).rglob("*")):
        if path.is_file():
            tree.file(f"usr/{path.relative_to(scratch / 'modules')}", path)
    early = [file for name, file in modules.with_needs(BOOT).items() if name not in VIRTIO]
    lines = (f"/{base}/{file.relative_to(modules.folder)}\n" for file in early)
    tree.file("usr/lib/boot/modules", "".join(lines))


def _configuration(tree: Tree, shelf: Shelf, password_hash: str) -> None:
    for name in ("rc", "stop", "hotplug"):
        tree.file(f"usr/lib/boot/{name}", script(name), 0o755)
    tree.file("usr/lib/boot/cloud", script("cloud"))
    tree.file("etc/udhcpc/default.script", script("dhcp"), 0o755)
    tree.link("usr/share/udhcpc/default.script", "/etc/udhcpc/default.script")
    tree.file("etc/inittab", script("inittab"))
    tree.file("etc/acpi/PWRF/00000080", "#!/usr/lib/boot/busybox sh\nexec /usr/lib/boot/stop off\n", 0o755)
    tree.file("etc/hostname", f"{LABEL}\n")
    tree.file("etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {LABEL}\n")
    tree.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
    tree.file("etc/resolv.conf", "")
    tree.file("etc/fstab", f"LABEL={LABEL} / ext4 noatime 0 1\n")
    tree.link("etc/mtab", "/proc/self/mounts")
    tree.file("etc/shells", "/bin/sh\n")
    tree.file(
        "etc/profile",
        f"export PATH={PATH} PS1='\\u@\\h:\\w\\$ '\n",
    )
    tree.file("etc/issue", f"{LABEL} \\n \\l (user {USER}, password gocubsgo)\n")
    tree.file("etc/os-release", f'NAME="{LABEL}"\nID={LABEL}\nID_LIKE=debian\nPRETTY_NAME="Pileus mini guest"\n')
    tree.file("etc/passwd", f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:1000:1000::/home/{USER}:/bin/sh\n")
    tree.file("etc/shadow", f"root:*:19000:0:99999:7:::\n{USER}:{password_hash}:19000:0:99999:7:::\n", 0o600)
    tree.file("etc/group", f"root:x:0:\ntty:x:5:\nsudo:x:27:{USER}\n{USER}:x:1000:\n")
    tree.file(
        "etc/sudoers",
        f"Defaults secure_path={PATH}\nroot ALL=(ALL:ALL) ALL\n{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n",
        0o440,
    )
    tree.file(
        "etc/pam.d/sudo",
        "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
    )
    tree.link("etc/pam.d/sudo-i", "sudo")
    tree.file("etc/mke2fs.conf", shelf.find("etc/mke2fs.conf"))
    bundle = sorted((shelf.folder / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    tree.file("etc/ssl/certs/ca-certificates.crt", b"".join(file.read_bytes() for file in bundle))


def password_hash(shelf: Shelf, password: str = "gocubsgo") -> str:
    """Return the crypt(3) hash of the guest's well-known password, with a fixed salt: it is printed on its screen."""
    return subprocess.run(
        [static_busybox(shelf), "mkpasswd", "-m", "sha256", password, "pileusmini"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()
