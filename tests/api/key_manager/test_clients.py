"""Unmodified clients: each ``openstack secret`` command, python-barbicanclient's own classes and openstacksdk.

Rule: the clients see nothing but a URL and their options.
"""

import importlib.metadata
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from barbicanclient.client import Client as Barbican
from openstackclient.shell import OpenStackShell

from pileus.services.identity.service import SERVICE as IDENTITY
from pileus.services.key_manager.service import SERVICE
from tests.api.identity_cli.shell import Client, Served, people, ready_shell

COMMANDS = {
    "secret consumer create", "secret consumer delete", "secret consumer list", "secret container create",
    "secret container delete", "secret container get", "secret container list", "secret delete", "secret get",
    "secret list", "secret order create", "secret order delete", "secret order get", "secret order list",
    "secret store", "secret update", "acl get", "acl delete", "acl submit", "acl user add", "acl user remove",
    "ca get", "ca list",
}  # fmt: skip
"""What the client's entry points declare; ``ca`` is of an API that upstream has removed."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("cloud"), [IDENTITY, SERVICE]).running() as served:
        yield served


@pytest.fixture(scope="module")
def shell() -> OpenStackShell:
    """The client's own program, with the commands of key management."""
    found = ready_shell()
    found.command_manager.add_command_group("openstack.key_manager.v1")
    return found


@pytest.fixture(scope="module")
def demo(cloud: Served, shell: OpenStackShell) -> Client:
    return people(cloud, shell, "demo")


@pytest.fixture(scope="module")
def conn(cloud: Served, demo: Client) -> Iterator[Any]:
    given = {name.replace("-", "_"): value for name, value in demo.options.items() if name != "identity-api-version"}
    region = given.pop("region_name")
    with openstack.connect(region_name=region, load_yaml_config=False, load_envvars=False, auth=given) as found:
        yield found


def test_every_command_is_known() -> None:
    points = importlib.metadata.entry_points(group="openstack.key_manager.v1")
    assert {point.name.replace("_", " ") for point in points} == COMMANDS


def test_secrets(demo: Client) -> None:
    made = demo("secret store --name pw --payload hunter2 --algorithm aes --bit-length 256 --mode cbc")
    ref = made["Secret href"]
    assert demo(f"secret get {ref}")["Name"] == "pw"
    assert demo(f"secret get {ref} --payload")["Payload"] == "hunter2"
    assert [row["Secret href"] for row in demo("secret list --name pw")] == [ref]
    assert demo("secret list --name nothing") == []
    later = demo("secret store --name later")["Secret href"]
    demo(f"secret update {later} much-later")
    assert demo(f"secret get {later} --payload")["Payload"] == "much-later"
    demo(f"secret delete {later}")
    assert "Not Found" in demo(f"secret get {later}", fails=True)


def test_consumers_hold_a_secret(demo: Client) -> None:
    ref = demo("secret store --name used --payload x")["Secret href"]
    words = "--service-type-name image --resource-type image --resource-id i1"
    demo(f"secret consumer create {words} {ref}")
    assert [row["Resource id"] for row in demo(f"secret consumer list {ref}")] == ["i1"]
    demo(f"secret consumer delete {words} {ref}")
    assert demo(f"secret consumer list {ref}") == []
    demo(f"secret delete {ref}")


def test_containers(demo: Client) -> None:
    refs = {name: demo(f"secret store --name {name} --payload {name}")["Secret href"] for name in ("one", "two")}
    held = " ".join(f"--secret {name}={ref}" for name, ref in refs.items())
    made = demo(f"secret container create --type generic --name pair {held}")["Container href"]
    shown = demo(f"secret container get {made}")
    assert (shown["Name"], refs["one"] in str(shown["Secrets"])) == ("pair", True)
    assert [row["Container href"] for row in demo("secret container list")] == [made]
    demo(f"secret container delete {made}")
    assert demo("secret container list") == []


def test_orders(demo: Client) -> None:
    made = demo("secret order create key --name key --algorithm aes --bit-length 256 --mode cbc")["Order href"]
    for _ in range(100):
        shown = demo(f"secret order get {made}")
        if shown["Status"] != "PENDING":
            break
    assert (shown["Type"], shown["Status"]) == ("Key", "ACTIVE")
    assert demo(f"secret get {shown['Secret href']}")["Bit length"] == 256
    assert made in [row["Order href"] for row in demo("secret order list")]
    demo(f"secret order delete {made}")


def test_access_lists(demo: Client) -> None:
    ref = demo("secret store --name shared --payload x")["Secret href"]
    demo(f"acl submit {ref} --user u1 --user u2 --no-project-access")
    (shown,) = demo(f"acl get {ref}")
    assert (shown["Project Access"], sorted(shown["Users"])) == (False, ["u1", "u2"])
    demo(f"acl user add {ref} --user u3")
    demo(f"acl user remove {ref} --user u1")
    (shown,) = demo(f"acl get {ref}")
    assert sorted(shown["Users"]) == ["u2", "u3"]
    demo(f"acl delete {ref}")
    (shown,) = demo(f"acl get {ref}")
    assert shown["Project Access"] is True


def test_barbicans_own_client(conn: Any) -> None:
    barbican = Barbican(session=conn.session, region_name=conn.config.region_name)
    secret = barbican.secrets.create(name="raw", payload=b"\x00\xff")
    secret.store()
    again = barbican.secrets.get(secret.secret_ref)
    assert (again.payload, again.content_types["default"]) == (b"\x00\xff", "application/octet-stream")
    order = barbican.orders.create_asymmetric(name="pair", algorithm="rsa", bit_length=1024, pass_phrase="hunter2")
    order.submit()
    for _ in range(200):
        found = barbican.orders.get(order.order_ref)
        if found.status != "PENDING":
            break
    container = barbican.containers.get(found.container_ref)
    assert container.private_key.payload.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY")
    assert container.private_key_passphrase.payload == "hunter2"
    barbican.containers.register_consumer(container.container_ref, "lb", "http://lb/1")
    assert barbican.containers.get(container.container_ref).consumers == [{"name": "lb", "URL": "http://lb/1"}]
    again.delete()


def test_openstacksdk(conn: Any) -> None:
    manager = conn.key_manager
    made = manager.create_secret(
        name="sdk", payload="deep", payload_content_type="text/plain", secret_type="passphrase"
    )
    found = manager.get_secret(made.secret_id)
    assert (found.payload, found.secret_type, found.status) == ("deep", "passphrase", "ACTIVE")
    assert made.secret_id in [one.secret_id for one in manager.secrets(name="sdk")]
    container = manager.create_container(
        name="sdk", type="generic", secret_refs=[{"name": "one", "secret_ref": found.secret_ref}]
    )
    assert container.container_id in [one.container_id for one in manager.containers()]
    order = manager.create_order(type="key", meta={"name": "k", "algorithm": "aes", "bit_length": 128, "mode": "cbc"})
    assert manager.get_order(order.order_id).type == "key"
    assert [store.name for store in manager.secret_stores()] == ["Software Only Crypto"]
    for delete, id in (
        (manager.delete_order, order.order_id),
        (manager.delete_container, container.container_id),
        (manager.delete_secret, made.secret_id),
    ):
        delete(id)
    assert list(manager.secrets(name="sdk")) == []
