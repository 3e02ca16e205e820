"""What an image's own header says of other files, read without any library.  Rule: a user's image stands alone.

Tools differ in what they tell of a header that names another file and does not hold its name; a look at the bytes
does not.  Source: QEMU docs/interop/qcow2.txt.
"""

import struct
from pathlib import Path

from pileus.kernel.errors import Invalid

_QCOW2 = struct.Struct(">4sIQI")
_FEATURES_AT = 72
_EXTERNAL_DATA = 1 << 2


def refuse_references(path: Path) -> None:
    """Raise Invalid when a qcow2 file has a backing file or keeps its data in another file."""
    with path.open("rb") as file:
        head = file.read(_FEATURES_AT + 8)
    if len(head) < _FEATURES_AT or not head.startswith(b"QFI\xfb"):
        return
    _, version, backing_offset, backing_size = _QCOW2.unpack_from(head)
    if backing_offset or backing_size:
        raise Invalid("The image has a backing file; flatten it (qemu-img convert) and upload it again.")
    features = struct.unpack_from(">Q", head, _FEATURES_AT)[0] if version >= 3 and len(head) >= _FEATURES_AT + 8 else 0
    if features & _EXTERNAL_DATA:
        raise Invalid("The image keeps its data in another file; convert it (qemu-img convert) and upload it again.")
