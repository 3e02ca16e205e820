"""A project's user over plain HTTP.  Rule: it outlives the server: an answer that is lost is told, not raised."""

import json
import time
from pathlib import Path
from typing import Any

import httpx

COMPUTE, VOLUME, NETWORK, IMAGE = "/compute/v2.1", "/volume/v3", "/networking/v2.0", "/image/v2"
LOST = 0
"""The status of a request whose answer was lost: nobody knows whether it was carried out."""
ACCEPTED = (200, 201, 202, 204)


class Api:
    """One user's client; ``call`` answers (status, body)."""

    def __init__(self, state: Path, url: str, user: str = "demo") -> None:
        self._http = httpx.Client(base_url=url, timeout=60)
        self._state, self._user = state, user
        self._http.headers["OpenStack-API-Version"] = "compute 2.96, volume 3.70"
        self.project_id = ""
        self.login()

    def login(self) -> None:
        """Get a token; they last an hour."""
        told = json.loads((self._state / "credentials.json").read_text())[self._user]
        who = {"name": told["user"], "password": told["password"], "domain": {"id": "default"}}
        scope = {"project": {"name": self._user, "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": who}}
        answer = self._http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
        assert answer.status_code == 201, answer.text
        self.project_id = answer.json()["token"]["project"]["id"]
        self._http.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]

    def call(
        self, method: str, path: str, body: Any = None, *, content: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, Any]:
        """Send a request; return its status (``LOST`` if no answer came) and its body, decoded if it is JSON."""
        headers = {"Content-Type": kind} if body is not None else {}
        sent = json.dumps(body).encode() if body is not None else content
        try:
            answer = self._http.request(method, path, content=sent, headers=headers)
            if answer.status_code == 401:
                self.login()
                answer = self._http.request(method, path, content=sent, headers=headers)
        except httpx.TransportError as error:
            return LOST, f"{type(error).__name__}: {error}"
        if "json" not in answer.headers.get("content-type", ""):
            return answer.status_code, answer.content
        return answer.status_code, answer.json()

    def insist(self, method: str, path: str) -> tuple[int, Any]:
        """Send what may be sent again until it is answered."""
        deadline = time.monotonic() + 60
        while True:
            status, body = self.call(method, path)
            if status not in (LOST, 503):
                return status, body
            assert time.monotonic() < deadline, f"{method} {path}: no answer for a minute: {body}"
            time.sleep(0.1)

    def get(self, path: str) -> Any:
        """Read, trying again while the server is away."""
        status, body = self.insist("GET", path)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def post(self, path: str, body: Any) -> Any:
        """Write, expecting it to be accepted."""
        status, answer = self.call("POST", path, body)
        assert status in ACCEPTED, f"POST {path}: {status} {answer}"
        return answer

    def delete(self, path: str) -> None:
        """Delete, expecting it to be accepted."""
        status, answer = self.call("DELETE", path)
        assert status in ACCEPTED, f"DELETE {path}: {status} {answer}"

    def close(self) -> None:
        self._http.close()
