"""The default guest image: built (or, in a fake cloud, made up of zeros) and uploaded over the public API."""

import http.client
import json
import tempfile
from pathlib import Path
from typing import Any

from pileus.cli import openrc
from pileus.cli.state import Cloud, State
from pileus.cli.state import connection as connect
from pileus.cli.terminal import Problem, Step, Steps

NAME = "pileus-mini"
FAKE_BYTES = 1 << 16


def provide(state: State, cloud: Cloud, steps: Steps) -> None:
    """See that the cloud has the image ``pileus-mini``, public; a cloud that has one is left alone."""
    api = Api(cloud, state)
    if api.call("GET", f"/image/v2/images?name={NAME}&status=active")["images"]:
        return
    with steps.step(f"providing the guest image {NAME}") as step:
        if cloud.fake:
            with tempfile.NamedTemporaryFile() as zeros:
                zeros.truncate(FAKE_BYTES)
                upload(api, Path(zeros.name), "raw", 1, 0, step)
            return
        from pileus.services.image.mini.build import build_mini

        mini = build_mini(cache(state), lambda sentence, part: step.fraction(part * 0.9))
        upload(api, Path(mini.path), "qcow2", 1, 128, step)


def cache(state: State) -> Path:
    """Return where built images and downloaded packages are kept between clouds."""
    shared = Path("/var/cache/pileus")
    try:
        shared.mkdir(parents=True, exist_ok=True)
    except OSError:
        return state.path / "cache"
    return shared


def upload(api: "Api", path: Path, disk_format: str, min_disk: int, min_ram: int, step: Step) -> None:
    """Create the image and send its bytes."""
    for leftover in api.call("GET", f"/image/v2/images?name={NAME}&status=queued")["images"]:
        api.call("DELETE", f"/image/v2/images/{leftover['id']}")
    body = {
        "name": NAME,
        "visibility": "public",
        "disk_format": disk_format,
        "container_format": "bare",
        "min_disk": min_disk,
        "min_ram": min_ram,
        "hw_rng_model": "virtio",
    }
    image = api.call("POST", "/image/v2/images", body)
    with path.open("rb") as file:
        api.send(f"/image/v2/images/{image['id']}/file", file, path.stat().st_size)
    step.note(f"{path.stat().st_size / (1 << 20):.1f} MiB")


class Api:
    """Just enough of a client for the set-up; everything else uses the real one."""

    def __init__(self, cloud: Cloud, state: State) -> None:
        self._cloud = cloud
        variables = openrc.exports(cloud, state, "admin")
        user = {
            "name": variables["OS_USERNAME"],
            "password": variables["OS_PASSWORD"],
            "domain": {"id": variables["OS_USER_DOMAIN_ID"]},
        }
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        self._token = ""
        response = self._request("POST", "/identity/v3/auth/tokens", json.dumps({"auth": auth}).encode())
        self._token = response.headers["X-Subject-Token"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return the decoded answer."""
        content = self._request(method, path, json.dumps(body).encode() if body is not None else None).read()
        return json.loads(content) if content else None

    def send(self, path: str, file: Any, size: int) -> None:
        """PUT a file's bytes."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._request("PUT", path, file, headers)

    def _request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = connect(self._cloud, timeout_s=300)
        token = {"X-Auth-Token": self._token} if self._token else {}
        connection.request(method, path, body, {"Content-Type": "application/json", **token, **(headers or {})})
        response = connection.getresponse()
        if response.status >= 400:
            words = response.read(600).decode(errors="replace")
            raise Problem(f"{method} {path} was refused ({response.status}): {words}", "See `pileus logs`.")
        return response
