"""Key pairs: a user's own, made or brought along."""

import pytest

from tests.api.compute.cloud import Cloud

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"


async def test_a_made_key_is_shown_whole_once(cloud: Cloud) -> None:
    made = (await cloud.ask("POST", "/os-keypairs", 200, {"keypair": {"name": "k"}}))["keypair"]
    assert made["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    shown = (await cloud.ask("GET", "/os-keypairs/k", 200))["keypair"]
    assert "private_key" not in shown
    assert shown["public_key"] == made["public_key"]
    await cloud.ask("DELETE", "/os-keypairs/k", 202)
    await cloud.refused("GET", "/os-keypairs/k", 404)


async def test_a_key_brought_along_has_its_fingerprint(cloud: Cloud) -> None:
    body = {"keypair": {"name": "mine", "public_key": PUBLIC}}
    made = (await cloud.ask("POST", "/os-keypairs", 201, body, version="2.2"))["keypair"]
    assert made["fingerprint"] == "65:96:2d:fc:e8:d5:a9:11:64:0c:0f:ea:00:6e:5b:bd"
    assert made["type"] == "ssh"
    await cloud.refused("POST", "/os-keypairs", 409, body)


async def test_keys_belong_to_users(cloud: Cloud) -> None:
    await cloud.ask("POST", "/os-keypairs", 200, {"keypair": {"name": "k", "public_key": PUBLIC}})
    assert (await cloud.ask("GET", "/os-keypairs", 200, who=cloud.alt))["keypairs"] == []
    await cloud.refused("GET", "/os-keypairs/k", 404, who=cloud.alt)
    await cloud.refused("GET", "/os-keypairs?user_id=somebody", 403, version="2.10")


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": "k" * 256},
        {"name": "k", "public_key": "not a key"},
        {"name": "k", "public_key": "ssh-rsa JUNK"},
        {"name": "k", "type": "pgp"},
        {"nome": "k"},
    ],
)
async def test_bad_keys_are_refused(cloud: Cloud, body: dict) -> None:
    await cloud.refused("POST", "/os-keypairs", 400, {"keypair": body}, version="2.2")
    assert (await cloud.ask("GET", "/os-keypairs", 200))["keypairs"] == []


async def test_since_2_92_keys_are_only_brought_along(cloud: Cloud) -> None:
    await cloud.refused("POST", "/os-keypairs", 400, {"keypair": {"name": "k"}}, version="2.92")
