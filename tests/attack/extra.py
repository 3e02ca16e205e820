"""Bodies whose forms no declaration has, or that have an id at a place that only all of it gives a sense.

Rule: they are added to what the declarations say, never instead of it.
"""

from collections.abc import Callable
from typing import Any

Own = Callable[[str], str]
"""``own(kind)``: the id of a thing of the attacker's."""
Body = Callable[[Own, str], Any]
PATCH = "application/openstack-images-v2.1-json-patch"


def _server(**more: Any) -> Body:
    def body(own: Own, id: str) -> Any:
        made = {"name": "x", "imageRef": own("image"), "flavorRef": "42", "networks": "none"}
        return {"server": {**made, **{name: value(id) if callable(value) else value for name, value in more.items()}}}

    return body


def _hint(name: str) -> Body:
    return lambda own, id: {**_server()(own, id), "os:scheduler_hints": {name: [id] if name != "group" else id}}


def _device(source: str, destination: str) -> Callable[[str], Any]:
    def devices(id: str) -> Any:
        size = {"volume_size": 1} if (source, destination) != ("volume", "volume") else {}
        device = {"uuid": id, "source_type": source, "destination_type": destination, "boot_index": -1, **size}
        return [{"boot_index": 0, "source_type": "image", "destination_type": "local", "uuid": None}, device]

    return devices


def _with_image(name: str, source: str) -> Body:
    def body(own: Own, id: str) -> Any:
        made = _server(block_device_mapping_v2=_device(source, "volume"))(own, id)
        made["server"]["block_device_mapping_v2"][0]["uuid"] = own("image")
        return made

    return body


def _port(**more: Callable[[str], Any]) -> Body:
    return lambda own, id: {"port": {"network_id": own("network"), **{name: value(id) for name, value in more.items()}}}


def _auth(scope: Callable[[str], Any] | None = None, **method: Callable[[str], Any]) -> Body:
    def body(own: Own, id: str) -> Any:
        (name, value), *_ = method.items() or [("token", lambda id: {"id": own("token")})]
        asked: dict[str, Any] = {"identity": {"methods": [name], name: value(id)}}
        return {"auth": {**asked, **({"scope": scope(id)} if scope else {})}}

    return body


WRONG = "not-the-password"
EXTRA: dict[str, list[tuple[str, tuple[str, ...], Body]]] = {
    "POST /compute/v2.1/servers": [
        *((f"os:scheduler_hints.{name}", ("server_group" if name == "group" else "server",), _hint(name))
          for name in ("group", "same_host", "different_host")),
        ("security_groups[].name", ("security_group",), _server(security_groups=lambda id: [{"name": id}])),
        ("networks[].uuid", ("network",), _server(networks=lambda id: [{"uuid": id}])),
        ("networks[].port", ("port",), _server(networks=lambda id: [{"port": id}])),
        *((f"block_device_mapping_v2[].uuid of {source}", (source,), _with_image("uuid", source))
          for source in ("image", "volume", "snapshot")),
        ("key_name", ("keypair",), _server(key_name=str)),
        ("flavorRef", ("flavor",), _server(flavorRef=str)),
    ],
    "POST /networking/v2.0/ports": [
        ("fixed_ips[].subnet_id", ("subnet",), _port(fixed_ips=lambda id: [{"subnet_id": id}])),
        ("security_groups[]", ("security_group",), _port(security_groups=lambda id: [id])),
    ],
    "PUT /networking/v2.0/ports/{id}": [
        ("fixed_ips[].subnet_id", ("subnet",), lambda own, id: {"port": {"fixed_ips": [{"subnet_id": id}]}}),
        ("security_groups[]", ("security_group",), lambda own, id: {"port": {"security_groups": [id]}}),
    ],
    "POST /networking/v2.0/subnets": [
        ("network_id", ("network",),
         lambda own, id: {"subnet": {"network_id": id, "ip_version": 4, "cidr": "10.200.0.0/24"}}),
        ("subnetpool_id", ("subnetpool",),
         lambda own, id: {"subnet": {"network_id": own("network"), "ip_version": 4, "subnetpool_id": id}}),
    ],
    "POST /networking/v2.0/floatingips": [
        ("port_id", ("port",),
         lambda own, id: {"floatingip": {"floating_network_id": own("external"), "port_id": id}}),
    ],
    "POST /networking/v2.0/rbac-policies": [
        (f"object_id of {kind}", (kind,),
         lambda own, id, kind=kind: {"rbac_policy": {
             "object_type": kind, "object_id": id, "action": "access_as_shared", "target_tenant": own("project")}})
        for kind in ("network", "security_group", "subnetpool", "address_scope")
    ],
    "POST /image/v2/images": [
        ("owner", ("project",), lambda own, id: {"name": "x", "owner": id}),
        ("id", ("image",), lambda own, id: {"name": "x", "id": id}),
    ],
    "PATCH /image/v2/images/{image}": [
        ("owner", ("project",), lambda own, id: [{"op": "replace", "path": "/owner", "value": id}]),
    ],
    "POST /image/v2/images/{image}/import": [
        ("uri", (), lambda own, id: {"method": {"name": "web-download", "uri": "http://203.0.113.1/x"}}),
    ],
    "POST /volume/v3/volumes": [
        (f"OS-SCH-HNT:scheduler_hints.{name}", ("volume",),
         lambda own, id, name=name: {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {name: id}})
        for name in ("same_host", "different_host")
    ],
    "POST /volume/v3/snapshots": [
        ("volume_id, forced", ("volume",), lambda own, id: {"snapshot": {"volume_id": id, "force": True}}),
    ],
    "POST /volume/v3/backups": [
        ("volume_id, forced", ("volume",), lambda own, id: {"backup": {"volume_id": id, "force": True}}),
    ],
    "POST /identity/v3/auth/tokens": [
        ("password.user.id", ("user",),
         _auth(password=lambda id: {"user": {"id": id, "password": WRONG}})),
        ("application_credential.id", ("application_credential",),
         _auth(application_credential=lambda id: {"id": id, "secret": WRONG})),
        ("scope.project.id", ("project",), _auth(scope=lambda id: {"project": {"id": id}})),
        ("scope.domain.id", ("domain",), _auth(scope=lambda id: {"domain": {"id": id}})),
        ("scope.OS-TRUST:trust.id", ("trust",), _auth(scope=lambda id: {"OS-TRUST:trust": {"id": id}})),
    ],
}  # fmt: skip
"""``(the place's name, kinds, body)`` by the name of the way; the whole body, with its envelope."""
