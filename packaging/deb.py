"""Makes the Debian package: an environment below /opt/pileus, the command, units, settings, manual, completion.

Rule: whatever can be asked of the program itself (its version, the packages it needs, its words) is asked of the
program that was just staged.  Needs uv, Debian's own Python and dpkg-deb; no root.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEBIAN = ROOT / "packaging" / "debian"
PREFIX = "opt/pileus"
PYTHON = "/usr/bin/python3"
DESCRIPTION = """OpenStack as one program
 Identity, compute, networks, images, block and object storage, placement and a
 dashboard in one process, for unmodified OpenStack clients. Guests run in QEMU,
 networks in the kernel, volumes in files. Without the recommended packages it
 serves the APIs with fake guests, for tests.
"""
ASK = """
from pileus import __version__
from pileus.cli.packages import OPTIONAL_NEEDS, host_needs
def names(needs): return sorted({name for need in needs for name in need.packages})
print(__version__, ', '.join(names(host_needs())), ', '.join(names(OPTIONAL_NEEDS)), sep='\\n')
"""
COMPLETION = {
    "bash": "usr/share/bash-completion/completions/pileus",
    "zsh": "usr/share/zsh/vendor-completions/_pileus",
    "fish": "usr/share/fish/vendor_completions.d/pileus.fish",
}


def main() -> None:
    """Make the package and print where it is."""
    parser = argparse.ArgumentParser(description="Make the Debian package, for the Debian this is run on.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where it goes (default dist)")
    parser.add_argument("--revision", type=int, default=1, metavar="N", help="of the package (default 1)")
    words = parser.parse_args()
    if shutil.which("uv") is None:
        sys.exit("uv is needed: run packaging/build-deb, which sees to it, or pip install uv")
    os.umask(0o022)
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        os.environ.setdefault("UV_SYSTEM_CERTS", "true")  # where a company's own are too
    os.environ["SOURCE_DATE_EPOCH"] = str(_committed_at())
    words.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pileus-deb-") as folder:
        stage = Path(folder, "root")
        environment(stage)
        version, recommends, suggests = ask(stage)
        extras(stage)
        compile_all(stage)
        name = f"pileus_{version}-{words.revision}~deb{release()}_{architecture()}.deb"
        control(stage, f"{version}-{words.revision}~deb{release()}", recommends, suggests)
        target = words.folder.absolute() / name
        run("dpkg-deb", "-Zzstd", "-z9", "--root-owner-group", "--build", str(stage), str(target), quiet=True)
    print(target)


def run(*words: str, quiet: bool = False, **environment: str) -> None:
    """Run a command; what it prints goes to standard error, or nowhere."""
    out = subprocess.DEVNULL if quiet else sys.stderr
    subprocess.run(words, check=True, cwd=ROOT, stdout=out, env={**os.environ, **environment})


def output(*words: str) -> str:
    """Return what a command prints."""
    return subprocess.run(words, check=True, cwd=ROOT, capture_output=True, text=True).stdout


def environment(stage: Path) -> None:
    """Put Debian's Python, the locked libraries, the clients and Pileus itself below the prefix."""
    there = stage / PREFIX
    run("uv", "venv", "-q", "--relocatable", "--python", PYTHON, "--no-python-downloads", str(there))
    sync = ["uv", "sync", "-q", "--frozen", "--no-editable", "--no-default-groups", "--extra", "clients"]
    run(*sync, "--link-mode", "copy", UV_PROJECT_ENVIRONMENT=str(there), UV_PYTHON=PYTHON)
    for made in there.glob("lib/python3*/site-packages/pileus-*.dist-info/direct_url.json"):
        made.unlink()  # where it was built
    for scripts in (*there.glob("bin/activate*"), *there.glob("bin/*.bat"), there / ".lock"):
        scripts.unlink(missing_ok=True)
    for cache in [*there.rglob("__pycache__")]:
        shutil.rmtree(cache)


def ask(stage: Path) -> list[str]:
    """Return the program's version, what a real cloud needs, what some clouds need."""
    return output(str(stage / PREFIX / "bin/python"), "-B", "-c", ASK).splitlines()


def extras(stage: Path) -> None:
    """Put the command, units, settings, manual and completion where Debian looks for them."""
    pileus = [str(stage / PREFIX / "bin/python"), "-B", "-m", "pileus.cli.main"]
    (stage / "usr/bin").mkdir(parents=True)
    (stage / "usr/bin/pileus").symlink_to(f"/{PREFIX}/bin/pileus")
    for source, target in (
        (DEBIAN / "pileus.service", "usr/lib/systemd/system/pileus.service"),
        (DEBIAN / "pileus-agent.service", "usr/lib/systemd/system/pileus-agent.service"),
        (DEBIAN / "pileus.toml", "etc/pileus/pileus.toml"),
        (ROOT / "LICENSE", "usr/share/doc/pileus/copyright"),
        (ROOT / "README.md", "usr/share/doc/pileus/README.md"),
    ):
        (stage / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, stage / target)
    for shell, target in COMPLETION.items():
        (stage / target).parent.mkdir(parents=True, exist_ok=True)
        (stage / target).write_text(output(*pileus, "completion", shell))
    manual = stage / "usr/share/man/man1/pileus.1.gz"
    manual.parent.mkdir(parents=True)
    os.environ["PILEUS_STATE"] = "/var/lib/pileus"  # what the manual says is the default
    manual.write_bytes(gzip.compress(output(*pileus, "man").encode(), mtime=0))


def compile_all(stage: Path) -> None:
    """Compile all ahead, so that nothing is written below the prefix when it runs."""
    compiler = [PYTHON, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    # Templates of other languages that some libraries keep in files of this name are no Python: they are left out.
    subprocess.run([*compiler, "-s", str(stage), "-p", "/", str(stage / PREFIX / "lib")], check=False)


def control(stage: Path, version: str, recommends: str, suggests: str) -> None:
    """Write what dpkg is to know of the package."""
    minor = int(output(PYTHON, "-c", "import sys; print(sys.version_info[1])"))
    size = sum(path.lstat().st_size for path in stage.rglob("*") if not path.is_dir()) // 1024
    fields = {
        "Package": "pileus",
        "Version": version,
        "Architecture": architecture(),
        "Maintainer": "The Pileus developers <pileus@localhost>",
        "Installed-Size": str(size),
        "Depends": f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}), ca-certificates",
        "Recommends": recommends,
        "Suggests": suggests,
        "Section": "admin",
        "Priority": "optional",
        "Description": DESCRIPTION.rstrip(),
    }
    folder = stage / "DEBIAN"
    folder.mkdir()
    (folder / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    (folder / "conffiles").write_text("/etc/pileus/pileus.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        shutil.copyfile(DEBIAN / script, folder / script)
        (folder / script).chmod(0o755)


def architecture() -> str:
    """Return Debian's name of this machine's kind."""
    return output("dpkg", "--print-architecture").strip()


def release() -> str:
    """Return the number of this Debian."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line for line in lines if line.startswith("VERSION_ID=")).partition("=")[2].strip('"')


def _committed_at() -> int:
    """Return when the source was last changed, so that the same source makes the same package."""
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(done.stdout or 0) or int((ROOT / "uv.lock").stat().st_mtime)


if __name__ == "__main__":
    main()
