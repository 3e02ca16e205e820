"""Image formats are recognised from real files, and images that point elsewhere are refused."""

import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from pileus.kernel.disk_formats import HEAD_BYTES, Inspector, UnsafeImage, headers
from pileus.kernel.disk_formats.parts import Facts, Parts
from tests.fuzz import images

MIB = 1 << 20
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def inspect(data: bytes, piece_bytes: int = 65536) -> Inspector:
    inspector = Inspector()
    for i in range(0, len(data), piece_bytes):
        inspector.feed(data[i : i + piece_bytes])
    return inspector


def vmdk(text: bytes, *, capacity: int = 2048, start: int = 1, sectors: int = 20, grains: int = 21) -> bytes:
    """Return a VMDK with a descriptor of the test's own, which runs on past the length that the header gives."""
    header = b"KDMV" + struct.pack("<IIQQQQIQQ", 1, 3, capacity, 128, start, sectors, 512, 0, grains)
    image = header.ljust(start * 512, b"\0") + text
    return image + bytes(max(0, (start + min(sectors, 128)) * 512 - len(image)) + 4096)


GOOD = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicSparse"\n'
GOOD += b'RW 2048 SPARSE "disk.vmdk"\nddb.adapterType = "ide"\n'


def test_a_vmdk_of_newlines_is_refused_at_once() -> None:
    started = time.process_time()
    for text in (b"\n" * 64000, b" " * 64000, b"=" * 64000, b'createType="' * 5000, b"RW 1 SPARSE " * 5000):
        with pytest.raises(UnsafeImage):
            inspect(vmdk(text, sectors=128)).check("vmdk")
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (vmdk(b'# parentFileNameHint="/etc/passwd"\n' + GOOD), "parent"),
        (vmdk(b'#createType="monolithicFlat"\n' + GOOD), "createType once"),
        (vmdk(GOOD + b"\n" * 512, sectors=1), "ends within its 512 bytes"),
        (vmdk(GOOD, capacity=0), "no sectors of its own"),
        (vmdk(GOOD, start=3), "no descriptor at its start"),
        (vmdk(GOOD, sectors=1 << 40), "no descriptor at its start"),
        (vmdk(GOOD + b'RW 8 FLAT "/etc/passwd" 0\n'), "extents"),
        (vmdk(GOOD.replace(b"SPARSE", b"FLAT")), "extents"),
        (vmdk(GOOD + b"something else\n"), "not understood"),
        (vmdk(GOOD, grains=(1 << 64) - 1), "footer"),
        (vmdk(GOOD.replace(b"disk", b"d\xc3sk")), "no text"),
    ],
)
def test_a_vmdk_is_judged_as_qemu_reads_it(image: bytes, said: str) -> None:
    """QEMU finds words in comments, reads on behind the descriptor's end, and believes a footer before the header."""
    assert inspect(vmdk(GOOD)).check("vmdk").virtual_size == 1 << 20
    with pytest.raises(UnsafeImage, match=said):
        inspect(image).check("vmdk")


def test_an_image_of_two_formats_is_refused() -> None:
    image = bytearray(64 << 10)
    image[0x8000:0x8006] = b"\x01CD001"
    image[:4] = b"QFI\xfb"
    for declared in ("iso", "qcow2", "raw"):
        with pytest.raises(UnsafeImage, match="qcow2 and iso at once"):
            inspect(bytes(image)).check(declared)


@needs_qemu_img
def test_damaged_images_are_judged_soon_and_alike(tmp_path: Path) -> None:
    """A short part of ``python -m tests.fuzz.images``."""
    tally = images.run(7, time.monotonic() + 2.0, None, images.corpus(tmp_path), most=300)
    assert sum(tally.answers.values()) > 20
    assert tally.answers["refused"]
    assert tally.findings == []


@needs_qemu_img
def test_the_fuzzer_finds_a_parser_that_follows_or_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {name: image for name, image in images.corpus(tmp_path).items() if image[0] == "vmdk"}

    def trusting(parts: Parts) -> Facts:
        return Facts("vmdk", 0)

    monkeypatch.setitem(headers._READERS, "vmdk", trusting)
    tally = images.run(1, time.monotonic() + 5.0, tmp_path, made, most=25)
    assert any("qemu-img names" in finding or "oslo.utils refuses" in finding for finding in tally.findings)
    monkeypatch.setattr(images, "LIMIT_S", -1.0)
    assert any("it took" in finding for finding in images.run(1, time.monotonic() + 5, None, made, most=1).findings)


def make(tmp_path: Path, image_format: str, options: str = "", size: str = "64M", extra: tuple[str, ...] = ()) -> Path:
    path = tmp_path / f"disk.{image_format}"
    command = ["qemu-img", "create", "-q", "-f", image_format, *extra]
    if options:
        command += ["-o", options]
    subprocess.run([*command, str(path), size], check=True, capture_output=True)
    return path


@needs_qemu_img
@pytest.mark.parametrize("piece_bytes", [1000, 1 << 20])
@pytest.mark.parametrize(
    ("image_format", "options", "disk_format"),
    [
        ("qcow2", "compat=1.1", "qcow2"),
        ("qcow2", "compat=0.10", "qcow2"),
        ("vmdk", "subformat=monolithicSparse", "vmdk"),
        ("vmdk", "subformat=streamOptimized", "vmdk"),
        ("vdi", "", "vdi"),
        ("vpc", "subformat=dynamic,force_size=on", "vhd"),
        ("vpc", "subformat=fixed,force_size=on", "vhd"),
        ("vhdx", "", "vhdx"),
        ("raw", "", "raw"),
    ],
)
def test_real_images_are_recognised_with_their_virtual_size(
    tmp_path: Path, image_format: str, options: str, disk_format: str, piece_bytes: int
) -> None:
    data = make(tmp_path, image_format, options).read_bytes()
    facts = inspect(data, piece_bytes).check(disk_format)
    assert (facts.format, facts.virtual_size) == (disk_format, 64 * MIB)


@needs_qemu_img
def test_a_luks_volume_may_be_uploaded_as_raw(tmp_path: Path) -> None:
    path = tmp_path / "disk.luks"
    command = ["qemu-img", "create", "-q", "-f", "luks", "--object", "secret,id=s,data=pass"]
    for _ in range(20):  # it measures the processor first, and refuses where that is too busy to be measured
        done = subprocess.run([*command, "-o", "key-secret=s,iter-time=10", str(path), "8M"], check=False)
        if done.returncode == 0:
            break
        time.sleep(0.5)
    facts = inspect(path.read_bytes()).check("raw")
    assert (facts.format, facts.virtual_size) == ("luks", 8 * MIB)


@needs_qemu_img
@pytest.mark.parametrize("declared", ["raw", "vmdk", "iso", "ami", "vhd"])
def test_a_format_other_than_declared_is_refused_at_the_head(tmp_path: Path, declared: str) -> None:
    data = make(tmp_path, "qcow2").read_bytes()
    with pytest.raises(UnsafeImage, match=f"declared as disk_format '{declared}' but its content is qcow2"):
        inspect(data).check_head(declared)


@needs_qemu_img
def test_a_fixed_vhd_declared_raw_is_refused(tmp_path: Path) -> None:
    data = make(tmp_path, "vpc", "subformat=fixed,force_size=on").read_bytes()
    with pytest.raises(UnsafeImage, match="content is vhd"):
        inspect(data).check("raw")


@needs_qemu_img
def test_a_backing_file_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "raw")
    path = make(tmp_path, "qcow2", extra=("-b", str(tmp_path / "disk.raw"), "-F", "raw"))
    with pytest.raises(UnsafeImage, match="backing file"):
        inspect(path.read_bytes()).check("qcow2")


@needs_qemu_img
def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path, "qcow2", f"data_file={tmp_path}/data.raw")
    with pytest.raises(UnsafeImage, match="another file"):
        inspect(path.read_bytes()).check("qcow2")


@needs_qemu_img
@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse"])
def test_a_vmdk_descriptor_is_refused(tmp_path: Path, subformat: str) -> None:
    path = make(tmp_path, "vmdk", f"subformat={subformat}")
    with pytest.raises(UnsafeImage, match="points at other files"):
        inspect(path.read_bytes()).check("vmdk")


@needs_qemu_img
def test_a_vmdk_whose_embedded_descriptor_names_another_file_is_refused(tmp_path: Path) -> None:
    data = make(tmp_path, "vmdk", "subformat=monolithicSparse").read_bytes()
    patched = data.replace(b'SPARSE "disk.vmdk"', b'SPARSE "/etc/passwd"'[:18].ljust(18))
    assert patched != data
    with pytest.raises(UnsafeImage, match="extents"):
        inspect(patched).check("vmdk")
    flat = data.replace(b'"monolithicSparse"', b'"monolithicFlat"  ')
    with pytest.raises(UnsafeImage, match="monolithicFlat"):
        inspect(flat).check("vmdk")


@needs_qemu_img
def test_a_differencing_vhd_and_vdi_are_refused(tmp_path: Path) -> None:
    vhd = bytearray(make(tmp_path, "vpc", "force_size=on").read_bytes())
    struct.pack_into(">I", vhd, 60, 4)
    with pytest.raises(UnsafeImage, match="differencing"):
        inspect(bytes(vhd)).check("vhd")
    vdi = bytearray(make(tmp_path, "vdi").read_bytes())
    struct.pack_into("<I", vdi, 0x4C, 4)
    with pytest.raises(UnsafeImage, match="differencing"):
        inspect(bytes(vdi)).check("vdi")


@needs_qemu_img
def test_a_vhdx_of_more_regions_than_there_may_be_is_refused(tmp_path: Path) -> None:
    vhdx = bytearray(make(tmp_path, "vhdx").read_bytes())
    struct.pack_into("<I", vhdx, (192 << 10) + 8, 2048)
    with pytest.raises(UnsafeImage, match="metadata region"):
        inspect(bytes(vhdx)).check("vhdx")


@needs_qemu_img
def test_a_vhdx_with_a_parent_is_refused(tmp_path: Path) -> None:
    vhdx = bytearray(make(tmp_path, "vhdx").read_bytes())
    table = vhdx.index(b"metadata")
    from pileus.kernel.disk_formats.vhdx import FILE_PARAMETERS

    entry = vhdx.index(FILE_PARAMETERS, table)
    (offset,) = struct.unpack_from("<I", vhdx, entry + 16)
    vhdx[table + offset + 4] |= 0b10
    with pytest.raises(UnsafeImage, match="parent"):
        inspect(bytes(vhdx)).check("vhdx")


def test_iso_and_hybrid_iso() -> None:
    iso = bytearray(64 << 10)
    iso[0x8000:0x8006] = b"\x01CD001"
    assert inspect(bytes(iso)).check("iso").virtual_size == 64 << 10
    partitioned(iso)
    assert inspect(bytes(iso)).check("iso").format == "iso"
    with pytest.raises(UnsafeImage, match="content is iso"):
        inspect(bytes(iso)).check("raw")


def partitioned(disk: bytearray, kind: int = 0x83) -> None:
    disk[446], disk[450], disk[510:512] = 0x80, kind, b"\x55\xaa"


def test_partitioned_disks_are_raw_disks() -> None:
    disk = bytearray(MIB)
    partitioned(disk)
    assert inspect(bytes(disk)).check("raw").format == "mbr"
    partitioned(disk, 0xEE)
    disk[512:520] = b"EFI PART"
    assert inspect(bytes(disk)).check("raw").format == "gpt"
    assert inspect(bytes(disk)).check("gpt").format == "gpt"


def test_a_boot_sector_without_partitions_is_raw() -> None:
    disk = bytearray(b"\x90" * MIB)
    disk[510:512] = b"\x55\xaa"
    assert inspect(bytes(disk)).check("raw").format == "raw"


@pytest.mark.parametrize("data", [b"", b"x", b"hello world" * 100])
def test_any_bytes_are_raw(data: bytes) -> None:
    assert inspect(data).check("raw").virtual_size == len(data)


@pytest.mark.parametrize("declared", ["qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "ploop"])
def test_bogus_bytes_are_not_a_structured_format(declared: str) -> None:
    with pytest.raises(UnsafeImage, match="content is raw"):
        inspect(b"bogus" * 1000).check(declared)


@pytest.mark.parametrize(
    "data",
    [b"QFI\xfb", b"QFI\xfb" + struct.pack(">IQ", 3, 0) + bytes(30), b"KDMV" + bytes(4), b"vhdxfile", b"conectix"],
)
def test_headers_cut_short_are_refused_by_name(data: bytes) -> None:
    formats = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"vhdx": "vhdx", b"cone": "vhd"}
    with pytest.raises(UnsafeImage, match=r"cut short|damaged"):
        inspect(data).check(formats[data[:4]])


def test_qed_and_unknown_features_are_refused() -> None:
    with pytest.raises(UnsafeImage, match="QED"):
        inspect(b"QED\0" + bytes(1000)).check("raw")
    header = bytearray(b"QFI\xfb" + struct.pack(">IQ", 3, 0) + bytes(100))
    struct.pack_into(">Q", header, 72, 1 << 40)
    with pytest.raises(UnsafeImage, match="not known"):
        inspect(bytes(header)).check("qcow2")


def test_memory_is_bounded() -> None:
    inspector = Inspector()
    for _ in range(64):
        inspector.feed(bytes(MIB))
    assert inspector.knows_head
    assert len(inspector._head) == HEAD_BYTES
    assert inspector.size == 64 * MIB
