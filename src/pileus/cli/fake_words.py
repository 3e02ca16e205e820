"""The words of ``pileus fake``: a verb each, and of ``break`` a kind of fault each."""

import argparse
from pathlib import Path


def add_fake_words(command: argparse.ArgumentParser) -> None:
    """Give the command its verbs."""
    # Also behind the verb, where people put it; there it has no default, which would hide what was said before.
    state = argparse.ArgumentParser(add_help=False)
    state.add_argument("--state", type=Path, default=argparse.SUPPRESS, metavar="DIR", help="the cloud's directory")
    verbs = command.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("reset", help="put the cloud back to just after its first start", parents=[state])
    for verb, text in (
        ("save", "keep the whole cloud as it is now, under a name"),
        ("load", "put the cloud back to what was saved"),
        ("delete", "forget a snapshot"),
    ):
        verbs.add_parser(verb, help=text, parents=[state]).add_argument("name", help="the snapshot")
    for verb, text in (("list", "list the snapshots"), ("faults", "list the faults in force")):
        listing = verbs.add_parser(verb, help=text, parents=[state])
        listing.add_argument("--json", action="store_true", help="print JSON, for programs")
    kinds = verbs.add_parser("break", help="put a fault in force").add_subparsers(
        dest="kind", metavar="KIND", required=True
    )
    for kind, (text, add) in KINDS.items():
        add(kinds.add_parser(kind, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[state]))
    mend = verbs.add_parser("mend", help="clear one fault, or all", parents=[state])
    mend.add_argument("id", type=int, nargs="?", help="the fault (default all)")
    time = verbs.add_parser("time", help="show the cloud's time, or move it", parents=[state])
    time.add_argument("--forward", type=float, metavar="SECONDS", help="let this much time pass at once")
    time.add_argument("--json", action="store_true", help="print JSON, for programs")


def _what_happens(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("message", nargs="?", help="the sentence with which it fails")
    kind.add_argument("--hang", action="store_true", default=None, help="it does not end until the fault is mended")
    kind.add_argument("--delay", type=float, dest="delay_s", metavar="SECONDS", help="it takes this long")
    kind.add_argument("--host", help="only on hosts that this pattern names")
    _how_often(kind, 1)


def _how_often(kind: argparse.ArgumentParser, times: int) -> None:
    default = "until mended" if times == 0 else str(times)
    kind.add_argument("--every", type=int, metavar="N", help="only each N-th (default 1)")
    kind.add_argument("--times", type=int, metavar="N", help=f"how often; 0 is until mended (default {default})")


def _boot(kind: argparse.ArgumentParser) -> None:
    _what_happens(kind)
    kind.add_argument("--name", help="only servers whose name fits this pattern")


def _command(kind: argparse.ArgumentParser) -> None:
    told = "EnsureVolume, EnsureDiskAttached, SnapshotGuestDisk ... or a pattern"
    kind.add_argument("host_command", metavar="command", help=told)
    _what_happens(kind)


def _api(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("service", help="compute, network, image, volume, identity, object-store, placement, or '*'")
    kind.add_argument("status", type=int, nargs="?", help="the status of the answer: 500, 503, 429 ...")
    kind.add_argument("--method", help="only of this method")
    kind.add_argument("--path", help="only paths that fit this pattern, with or without the service's own before it")
    kind.add_argument("--message", help="the sentence of the answer")
    kind.add_argument("--delay", type=float, dest="delay_s", metavar="SECONDS", help="the answer takes this long")
    kind.add_argument("--retry-after", type=int, dest="retry_after_s", metavar="SECONDS", help="the header Retry-After")
    _how_often(kind, 0)


def _host(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("host", help="the host: fake-1 ...")
    kind.add_argument("--power-off", action="store_true", default=None, help="its guests are off when it comes back")


def _capacity(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("--host", help="only hosts that this pattern names")
    for name in ("vcpus", "memory-mib", "disk-gib", "volumes-gib"):
        kind.add_argument(f"--{name}", type=int, metavar="N", help="what is left (default 0)")


def _quota(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("project", help="by name or id")
    kind.add_argument("service", help="compute, network or volume")
    kind.add_argument("name", help="the limit: instances, cores, volumes, port ...")


KINDS = {
    "boot": ("servers' boots fail, hang or take long", _boot),
    "command": ("any command to a host fails, hangs or takes long", _command),
    "api": ("requests are refused or answered late", _api),
    "host": ("a host dies, until the fault is mended", _host),
    "capacity": ("hosts have no room, until the fault is mended", _capacity),
    "quota": ("a project's limit is full, until the fault is mended", _quota),
}
