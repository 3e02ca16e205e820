"""The cloud's own CA and certificate, and those that operators bring."""

import ipaddress
import ssl
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pileus.cli import certificates, doctor
from pileus.cli.settings import reached, settled
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem
from pileus.cli.tls import Tls
from pileus.kernel.config import CloudSettings, Configuration


def held(folder: Path) -> set[str]:
    found = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_the_certificate_holds_every_name_by_which_the_cloud_is_reached(tmp_path: Path) -> None:
    cloud = CloudSettings(
        host="192.0.2.7", public_url="https://Cloud.example:8443/x", tls_names=("fd00::7", "bücher.de")
    )
    certificates.ensure(tmp_path, cloud)
    assert held(tmp_path) >= {
        "192.0.2.7",
        "cloud.example",
        "fd00::7",
        "xn--bcher-kva.de",
        "localhost",
        "127.0.0.1",
        "::1",
    }
    assert all(ipaddress.ip_address(address) for address in certificates.outward_addresses())


def test_openssl_itself_accepts_the_chain_for_a_server_and_for_nothing_else(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, CloudSettings())
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", str(tmp_path / "ca.pem")]
    server = str(tmp_path / "server.pem")
    words = [*verify, "-purpose", "sslserver", "-verify_hostname", "localhost", server]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
    for wrong in (["-purpose", "sslclient"], ["-verify_hostname", "elsewhere.example"]):
        assert subprocess.run([*verify, *wrong, server], capture_output=True, check=False).returncode != 0


def test_only_keys_are_secret(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, CloudSettings())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o600}


def test_it_is_made_anew_for_new_names_and_before_its_end_and_the_ca_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> tuple[bytes, bytes]:
        certificates.ensure(tmp_path, cloud)
        return (tmp_path / "ca.pem").read_bytes(), (tmp_path / "server.pem").read_bytes()

    cloud = CloudSettings()
    first = made()
    assert made() == first
    cloud = CloudSettings(tls_names=("new.example",))
    second = made()
    assert second[0] == first[0]
    assert second[1] != first[1]
    monkeypatch.setattr(certificates, "RENEWED_BEFORE", certificates.LIFE - timedelta(minutes=1))
    third = made()
    assert third[0] == first[0]
    assert third[1] != second[1]


def brought(tmp_path: Path, **settings: str) -> Tls:
    return Tls(Configuration(tmp_path, {"cloud": {"tls_certificate": "certificates/server.pem", **settings}}, tls=True))


def test_a_certificate_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    certificates.ensure(tmp_path / "certificates", CloudSettings())
    brought(tmp_path).context()
    (tmp_path / "text").write_text("no key")
    encrypt = ["openssl", "pkcs8", "-topk8", "-passout", "pass:x", "-in", str(tmp_path / "certificates/server.pem")]
    subprocess.run([*encrypt, "-out", str(tmp_path / "secret")], check=True, capture_output=True)
    for key, said in {
        "none": "No such file",
        "text": "no start line|pem lib",
        "certificates/ca.key": "mismatch",
        "secret": "encrypted",
    }.items():
        with pytest.raises(Problem, match=said):
            brought(tmp_path, tls_key=key).context()


def test_a_bad_successor_is_refused_and_the_old_certificate_stays(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    certificates.ensure(folder, CloudSettings())
    tls = brought(tmp_path)
    context = tls.context()
    assert not tls.look(context)
    good = (folder / "server.pem").read_text()
    (folder / "server.pem").write_text(good.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN"))
    with pytest.raises((OSError, ValueError)):
        tls.look(context)
    (folder / "server.pem").write_text(good + "\n")
    assert tls.look(context)


def test_old_protocols_are_not_spoken(tmp_path: Path) -> None:
    certificates.ensure(tmp_path / "certificates", CloudSettings())
    assert brought(tmp_path).context().minimum_version >= ssl.TLSVersion.TLSv1_2


def with_settings(folder: Path, text: str) -> State:
    state = State(folder)
    state.save(Cloud(fake=True, cloud_id="beef", tls="tls" in text))
    (folder / "pileus.toml").write_text(f"[cloud]\n{text}\n")
    return state


@pytest.mark.parametrize(
    ("text", "url", "ca"),
    [
        ("", "http://127.0.0.1:8774", None),
        ("tls = true", "https://127.0.0.1:8774", "certificates/ca.pem"),
        ('tls_certificate = "/x.pem"', "https://127.0.0.1:8774", None),
        ('tls_certificate = "/x.pem"\ntls_ca = "/our-ca.pem"', "https://127.0.0.1:8774", "/our-ca.pem"),
        ('public_url = "https://cloud.example/"', "https://cloud.example", None),
        ('public_url = "https://cloud.example"\ntls_ca = "our.pem"', "https://cloud.example", "our.pem"),
    ],
)
def test_clients_are_told_where_the_cloud_is_and_whom_to_trust(
    tmp_path: Path, text: str, url: str, ca: str | None
) -> None:
    state = with_settings(tmp_path, text)
    way = reached(state, state.load())
    assert (way.url, way.ca) == (url, tmp_path / ca if ca else None)


def test_settings_choose_what_up_would(tmp_path: Path) -> None:
    state = with_settings(tmp_path, 'host = "::1"\nport = 9001\ntls_certificate = "/x.pem"')
    known = state.load()
    cloud, said = settled(state, known, known)
    assert (cloud.host, cloud.port, cloud.tls, cloud.cloud_id) == ("::1", 9001, True, "beef")
    assert said == {"host": "::1", "port": 9001, "tls": True}


@pytest.mark.parametrize("text", ["fake = false", 'cloud_id = "cafe"'])
def test_settings_do_not_change_what_a_cloud_is(tmp_path: Path, text: str) -> None:
    state = with_settings(tmp_path, text)
    known = state.load()
    with pytest.raises(Problem, match="this cloud was made with"):
        settled(state, known, known)


def test_doctor_tells_how_long_the_certificate_lasts(tmp_path: Path) -> None:
    state = with_settings(tmp_path, "tls = true")
    assert [finding.state for finding in doctor.certificate(tmp_path)] == ["bad"]  # there is none yet
    certificates.ensure(tmp_path / "certificates", CloudSettings())
    assert [finding.state for finding in doctor.certificate(tmp_path)] == ["ok"]
    (tmp_path / "pileus.toml").write_text('[cloud]\ntls_certificate = "old.pem"\n')
    old = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=x", "-keyout", "key"]
    subprocess.run([*old, "-out", str(tmp_path / "old.pem")], check=True, capture_output=True, cwd=tmp_path)
    (found,) = doctor.certificate(tmp_path)
    assert (found.state, bool(found.remedy)) == ("bad", True)
    state.save(Cloud(fake=True, cloud_id="beef"))
    assert doctor.certificate(tmp_path) == []
