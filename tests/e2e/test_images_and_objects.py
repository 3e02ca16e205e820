"""Images and objects with unmodified clients, and a server killed in the middle of an upload."""

import hashlib
import http.client
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.cloud import RealCloud, wait

MIB = 1 << 20


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A file of 5 MiB that is no disk format's."""
    path = tmp_path / "picture"
    path.write_bytes(os.urandom(5 * MIB))
    return path


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_an_image_from_file_to_file(cloud: RealCloud, picture: Path, tmp_path: Path) -> None:
    words = ["--disk-format", "raw", "--property", "colour=red", "--tag", "old", "--min-disk", "1"]
    image = cloud.openstack("image", "create", "--file", str(picture), *words, "mine")
    assert (image["status"], image["size"], image["checksum"]) == ("active", 5 * MIB, md5_of(picture))
    cloud.openstack("image", "set", "--property", "shape=round", "--protected", "mine")
    cloud.openstack("image", "unset", "--tag", "old", "mine")
    assert "protected" in cloud.openstack("image", "delete", "mine", fails=True)
    shown = cloud.openstack("image", "show", "mine")
    assert (shown["properties"]["colour"], shown["properties"]["shape"], shown["tags"]) == ("red", "round", [])
    cloud.openstack("image", "save", "--file", str(tmp_path / "saved"), "mine")
    assert md5_of(tmp_path / "saved") == md5_of(picture)
    assert "mine" in [row["Name"] for row in cloud.openstack("image", "list", "--property", "colour=red")]
    cloud.openstack("image", "set", "--unprotected", "mine")
    cloud.openstack("image", "delete", "mine")
    assert "mine" not in [row["Name"] for row in cloud.openstack("image", "list")]


def test_what_is_not_the_declared_format_is_refused(cloud: RealCloud, picture: Path) -> None:
    words = ["--disk-format", "qcow2", "--file", str(picture), "liar"]
    assert "content is raw" in cloud.openstack("image", "create", *words, fails=True)


def test_a_shared_image_is_accepted(cloud: RealCloud, picture: Path) -> None:
    image = cloud.openstack("image", "create", "--file", str(picture), "--disk-format", "raw", "--shared", "ours")
    admin = cloud.openstack("project", "show", "admin", project="admin")["id"]
    cloud.openstack("image", "add", "project", image["id"], admin)
    cloud.openstack("image", "set", "--accept", image["id"], project="admin")
    [member] = cloud.openstack("image", "member", "list", image["id"])
    assert (member["Member ID"], member["Status"]) == (admin, "accepted")
    cloud.openstack("image", "delete", image["id"])


def test_objects_from_file_to_file(cloud: RealCloud, picture: Path, tmp_path: Path) -> None:
    cloud.openstack("container", "create", "box")
    [made] = cloud.openstack("object", "create", "--name", "a/b c", "box", str(picture))
    assert made["etag"] == md5_of(picture)
    cloud.openstack("object", "save", "--file", str(tmp_path / "saved"), "box", "a/b c")
    assert md5_of(tmp_path / "saved") == md5_of(picture)
    assert cloud.openstack("container", "show", "box")["bytes_used"] == str(5 * MIB)
    cloud.openstack("container", "delete", "--recursive", "box")
    assert cloud.openstack("container", "list") == []


def test_the_sdk_uploads_in_segments(cloud: RealCloud, picture: Path) -> None:
    sdk = cloud.sdk()
    sdk.create_container("segments")
    sdk.create_object("segments", "whole", filename=str(picture), segment_size=MIB)
    assert sdk.object_store.download_object("whole", container="segments") == picture.read_bytes()
    assert len(list(sdk.object_store.objects("segments"))) == 6
    sdk.delete_object("segments", "whole")
    sdk.delete_container("segments")


def test_a_server_killed_during_an_upload(cloud: RealCloud, picture: Path) -> None:
    sdk = cloud.sdk()
    image = sdk.image.create_image("cut-off", disk_format="raw", container_format="bare")
    upload = http.client.HTTPConnection("127.0.0.1", cloud.port)
    upload.putrequest("PUT", f"/image/v2/images/{image.id}/file")
    headers = {"X-Auth-Token": sdk.auth_token, "Content-Type": "application/octet-stream", "Content-Length": 50 * MIB}
    for name, value in headers.items():
        upload.putheader(name, str(value))
    upload.endheaders(picture.read_bytes())
    folder = cloud.state.path / "object_store"
    wait("half an image on disk", lambda: any((folder / "d1" / "tmp").iterdir()))
    server = cloud.state.pid("server")
    assert server is not None
    os.kill(server, signal.SIGKILL)
    upload.close()
    cloud.up()
    assert list((folder / "d1" / "tmp").iterdir()) == []
    assert cloud.sdk().image.get_image(image.id).status == "queued"
    cloud.openstack("image", "delete", image.id)
