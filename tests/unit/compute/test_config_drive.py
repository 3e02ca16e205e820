"""The config drive: a guest finds the files that cloud-init looks for, under the label it looks for."""

import io
import json

import pycdlib

from pileus.services.compute.drivers.config_drive import openstack_files, write_iso


def read(iso: bytes, path: str, kind: str) -> bytes:
    image, out = pycdlib.PyCdlib(), io.BytesIO()
    image.open_fp(io.BytesIO(iso))
    image.get_file_from_iso_fp(out, **{kind: path})
    image.close()
    return out.getvalue()


def test_the_label_is_where_blkid_reads_it() -> None:
    iso = write_iso(openstack_files({"uuid": "u"}, {}))
    assert iso[32768 + 40 : 32768 + 72].rstrip() == b"config-2"


def test_every_file_is_found_by_its_long_name() -> None:
    files = openstack_files(
        {"uuid": "u", "hostname": "one"},
        {"links": [], "networks": [], "services": []},
        user_data=b"#!/bin/sh\ntrue\n",
        ec2_meta_data={"instance-id": "i-1"},
    )
    iso = write_iso(files)
    assert sorted(files) == [
        "ec2/latest/meta-data.json",
        "ec2/latest/user-data",
        "openstack/latest/meta_data.json",
        "openstack/latest/network_data.json",
        "openstack/latest/user_data",
        "openstack/latest/vendor_data.json",
    ]
    for path, content in files.items():
        assert read(iso, f"/{path}", "rr_path") == content
        assert read(iso, f"/{path}", "joliet_path") == content
    assert json.loads(files["openstack/latest/meta_data.json"])["hostname"] == "one"


def test_no_user_data_is_no_file() -> None:
    assert "openstack/latest/user_data" not in openstack_files({}, {})


def test_empty_and_large_files_are_kept() -> None:
    files = {"openstack/content/0000": b"", "openstack/content/0001": bytes(range(256)) * 512}
    iso = write_iso(files)
    for path, content in files.items():
        assert read(iso, f"/{path}", "rr_path") == content
