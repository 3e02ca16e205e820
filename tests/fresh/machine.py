"""A minimal Debian made by debootstrap, entered with mounts, processes, a network and a name of its own.

Its network is one of its own where the Debian package slirp4netns is installed (it reaches the outside as an ordinary
program of the outer machine would, and forwards nothing); else it is the outer machine's.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fresh import outer

INCLUDE = ("ca-certificates", "git", "sudo")
"""Besides what every Debian has: to fetch the source, and to become root as the README does."""
USER = "fresh"
NAMESERVER = "10.0.2.3"
"""slirp4netns's own."""
SETUP = """
set -e
mount --make-rprivate /
mount --bind "$TREE" "$TREE"
cd "$TREE"
mount -t proc proc proc
mount -t sysfs sysfs sys || mount --rbind /sys sys
[ ! -d /sys/fs/cgroup ] || mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs run
mount --bind "$SOURCE" source
mount -o remount,bind,ro source
hostname fresh
mkdir -p .outer
pivot_root . .outer
cd /
umount -l /.outer
rmdir /.outer
ip link set lo up 2>/dev/null || :
touch /run/entered
# systemd comes later, when it has been installed, and takes over as the first process.
trap 'exec sh /boot.sh' USR1
while :; do sleep 3600 & wait $!; done
"""


BOOT = """
where=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
mkdir "$where/GROUP"
echo 0 >"$where/GROUP/cgroup.procs"
umount -R /sys/fs/cgroup
export container=other
exec unshare --cgroup sh -ec 'mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec /lib/systemd/systemd --system'
"""
"""Gives the machine control groups of its own, below the outer ones, and its first process over to systemd."""


class Machine:
    """One machine that runs; ``run`` starts a new shell in it each time."""

    def __init__(self, tree: Path, pid: int, *, own_network: bool) -> None:
        self.tree, self.pid, self.own_network = tree, pid, own_network
        self.group = tree.parent.name

    def command(self, script: str, user: str) -> list[str]:
        """Return the command line of a new log-in shell in the machine; nothing of our environment comes along."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--pid", "--net", "--ipc", "--root"]
        shell = ["env", "-i", f"TERM={os.environ.get('TERM', 'dumb')}", "su", "--login", user, "-s", "/bin/bash"]
        return [*enter, "--wd=/", *shell, "-c", script]

    def run(self, script: str, user: str, log: Path) -> int:
        """Run a script in a new shell, its words into ``log``; return its exit code."""
        with log.open("ab") as out:
            out.write(f"\n$ ({user}) {script}\n".encode())
            out.flush()
            words = self.command(script, user)
            return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False).returncode

    def boot(self, log: Path) -> None:
        """Let systemd, which has been installed, be the first process from now on; return when it has started all."""
        script = BOOT.replace("GROUP", self.group)
        (self.tree / "boot.sh").write_text(f"set -e\n{script}")
        waiting = "kill -USR1 1; until [ -S /run/systemd/private ]; do sleep 0.1; done"
        self.run(f"{waiting}; systemctl is-system-running --wait; systemctl --failed --no-pager", "root", log)

    def versions(self) -> str:
        """Return which Debian, kernel and Python this is."""
        script = ". /etc/os-release; echo Debian $(cat /etc/debian_version), Linux $(uname -r); python3 --version"
        words = self.command(script, "root")
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        return ", ".join(done.stdout.split("\n")).strip(", ")


def make_tree(suite: str, cache: Path, mirror: str | None) -> Path:
    """Return the folder of a minimal Debian, made when the cache has none."""
    tree = cache / suite
    if not (tree / ".made").exists():
        shutil.rmtree(tree, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        words = ["debootstrap", "--variant=minbase", f"--include={','.join(INCLUDE)}", suite, str(tree)]
        subprocess.run([*words, mirror or outer.mirror(suite)], check=True, stdout=subprocess.DEVNULL)
        (tree / ".made").touch()
    return tree


def furnish(tree: Path, suite: str) -> None:
    """Give a tree what it needs to reach packages from here, and a user who may become root."""
    etc = tree / "etc"
    (etc / "apt/sources.list").write_text("".join(f"{line}\n" for line in outer.sources(suite)))
    (etc / "apt/apt.conf.d/80outer").write_text(outer.apt_settings())
    shutil.copy("/etc/resolv.conf", etc / "resolv.conf")
    (etc / "hostname").write_text("fresh\n")
    (etc / "hosts").write_text("127.0.0.1 localhost fresh\n::1 localhost\n")
    if outer.CERTIFICATES.exists():
        shutil.copy(outer.CERTIFICATES, tree / "usr/local/share/ca-certificates/outer.crt")
        _in_tree(tree, "update-ca-certificates >/dev/null 2>&1")
    for file in outer.FILES:
        if file.exists():
            (tree / file.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tree / file.relative_to("/"))
    carried = outer.environment()
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in carried.items())
    (etc / "profile.d/outer.sh").write_text(exports)
    kept = f'Defaults env_keep += "{" ".join(carried)}"\n' if carried else ""
    (etc / "sudoers.d/fresh").write_text(f"{kept}{USER} ALL=(ALL) NOPASSWD: ALL\n")
    (etc / "sudoers.d/fresh").chmod(0o440)
    _in_tree(tree, f"useradd --create-home --shell /bin/bash {USER}")
    (tree / "source").mkdir()


def _in_tree(tree: Path, script: str) -> None:
    subprocess.run(["chroot", str(tree), "/bin/sh", "-ec", script], check=True)


@contextmanager
def machine(tree: Path, suite: str, source: Path) -> Iterator[Machine]:
    """Copy a tree, enter the copy, yield the machine; nothing of it is left at the end, processes included."""
    folder = Path(tempfile.mkdtemp(prefix="pileus-fresh-", dir="/var/tmp"))
    folder.chmod(0o711)
    copy = folder / "tree"
    subprocess.run(["cp", "-a", "--reflink=auto", str(tree), str(copy)], check=True)
    furnish(copy, suite)
    own_network = shutil.which("slirp4netns") is not None and Path("/dev/net/tun").exists()
    words = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
    words += ["--net"] if own_network else []
    given = {**os.environ, "TREE": str(copy), "SOURCE": str(source)}
    init = subprocess.Popen([*words, "bash", "-c", SETUP], env=given, start_new_session=True)
    network = None
    try:
        pid = _inner(init, copy)
        if own_network:
            (copy / "etc/resolv.conf").write_text(f"nameserver {NAMESERVER}\n")
            slirp = ["slirp4netns", "--configure", "--disable-host-loopback", str(pid), "tap0"]
            network = subprocess.Popen(slirp, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while "tap0" not in Path(f"/proc/{pid}/net/dev").read_text():
                assert network.poll() is None, "slirp4netns could not make the machine's network"
                time.sleep(0.1)
        where = Machine(copy, pid, own_network=own_network)
        words = where.command("ls /sys/class/net > /run/links", "root")
        subprocess.run(words, check=True, timeout=60)
        yield where
    finally:
        if network is not None:
            network.terminate()
            network.wait()
        os.killpg(init.pid, signal.SIGKILL)
        init.wait()
        for group in Path("/sys/fs/cgroup").glob(f"**/{folder.name}"):
            _remove_group(group)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_group(group: Path) -> None:
    """Remove a control group with those below it, once the processes that were in them have really ended."""
    for _ in range(100):
        for path in sorted(group.glob("**/"), key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                path.rmdir()
        if not group.exists():
            return
        time.sleep(0.1)


def _inner(init: "subprocess.Popen[bytes]", tree: Path) -> int:
    """Return the pid of the machine's first process, once it has entered."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert init.poll() is None, "the machine could not be entered"
        children = Path(f"/proc/{init.pid}/task/{init.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/root/run/entered").exists():
            return int(children[0])
        time.sleep(0.1)
    raise TimeoutError(f"{tree} was not entered within a minute")
