"""The disk that tells a guest who it is: ISO 9660, labelled config-2, with the files cloud-init and its kin read.

One rule: what the files say is the caller's business; their places and the disk's form are said here.
Source: OpenStack Compute user guide, "Metadata"; El Torito and multi-session are not used.
"""

import io
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pycdlib

LABEL = "config-2"
_JSON = msgspec.json.Encoder(order="sorted")


def openstack_files(
    meta_data: Mapping[str, Any],
    network_data: Mapping[str, Any],
    *,
    user_data: bytes | None = None,
    vendor_data: Mapping[str, Any] | None = None,
    ec2_meta_data: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Return path -> content of a config drive's files, `openstack/latest` and `ec2/latest`."""
    files = {
        "openstack/latest/meta_data.json": _JSON.encode(meta_data),
        "openstack/latest/network_data.json": _JSON.encode(network_data),
        "openstack/latest/vendor_data.json": _JSON.encode(vendor_data or {}),
    }
    if user_data is not None:
        files["openstack/latest/user_data"] = user_data
        files["ec2/latest/user-data"] = user_data
    if ec2_meta_data is not None:
        files["ec2/latest/meta-data.json"] = _JSON.encode(ec2_meta_data)
    return files


def write_iso(files: Mapping[str, bytes]) -> bytes:
    """Return an ISO 9660 image with Rock Ridge and Joliet names that holds the files."""
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, vol_ident=LABEL, rock_ridge="1.09", joliet=3)
    folders: dict[str, str] = {".": ""}
    for number, (path, content) in enumerate(sorted(files.items())):
        for folder in reversed(PurePosixPath(path).parents):
            if str(folder) not in folders:
                short = f"{folders[str(folder.parent)]}/D{len(folders):03}"
                folders[str(folder)] = short
                image.add_directory(short, rr_name=folder.name, joliet_path=f"/{folder}")
        name = PurePosixPath(path)
        image.add_fp(
            io.BytesIO(content),
            len(content),
            f"{folders[str(name.parent)]}/F{number:03}.;1",
            rr_name=name.name,
            joliet_path=f"/{path}",
        )
    out = io.BytesIO()
    image.write_fp(out)
    image.close()
    return out.getvalue()
