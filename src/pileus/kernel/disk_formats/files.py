"""Judging an image's file on a host, before any tool opens it.  Rule: what was judged at its upload is judged again.

Bytes come to a host by other ways than an upload (a backup that its owner keeps in his own container, an image that
was taken while the check was off, a container format that is not looked into), and tools differ in what they tell of
a header that names another file; a look at the bytes does not.
"""

from pathlib import Path

from pileus.kernel.disk_formats.inspector import Inspector
from pileus.kernel.disk_formats.parts import Facts, UnsafeImage
from pileus.kernel.errors import Invalid

QEMU_NAMES: dict[str, str] = {
    "raw": "raw",
    "gpt": "raw",
    "iso": "raw",
    "ami": "raw",
    "ari": "raw",
    "aki": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vdi": "vdi",
    "vhd": "vpc",
    "vhdx": "vhdx",
}
"""Disk formats of the image service that can be read safely: QEMU's names for them."""


def check_file(path: Path, disk_format: str) -> Facts:
    """Return the facts of a file that is to be read as ``disk_format``.

    Raises Invalid when it cannot be read as that at all, is another format, points at other files or needs a key.
    What is raw is bytes: it is never looked into.
    """
    qemu_name = QEMU_NAMES.get(disk_format)
    if qemu_name is None:
        raise Invalid(
            f"Image format '{disk_format}' cannot become a disk: convert it to one of {', '.join(QEMU_NAMES)}."
        )
    if qemu_name == "raw":
        return Facts("raw", path.stat().st_size)
    try:
        with path.open("rb") as file:
            facts = Inspector.of_file(file).check(disk_format)
    except UnsafeImage as error:
        raise Invalid(f"The image is not a readable {disk_format} disk: {error}") from error
    if facts.encrypted:
        raise Invalid(
            "The image is encrypted, and there is no key for it; convert it to an open one and upload it again."
        )
    return facts
