"""A real OpenID provider (Canaille) in a process of its own, with two people, a group and two clients.

Run as a program it serves; imported, it starts itself on a free port and stops by pid.
"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

CLIENT, SECRET, PASSWORD = "pileus", "a secret of the client", "correct horse"
STRANGER = "another-application"
REDIRECT = "http://cloud.test/identity/v3/auth/OS-FEDERATION/openid/callback"


@dataclass(frozen=True)
class Provider:
    issuer: str

    @property
    def discovery(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"

    def token(self, user: str = "jane", client: str = CLIENT, **form: str) -> dict[str, str]:
        """Return what the provider answers to a user's password."""
        given = {"grant_type": "password", "username": user, "password": PASSWORD, "scope": "openid profile groups"}
        answer = httpx.post(f"{self.issuer}/oauth/token", data={**given, **form}, auth=(client, SECRET))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def client_token(self) -> str:
        """Return an (opaque) access token of the client itself."""
        form = {"grant_type": "client_credentials", "scope": "openid"}
        return httpx.post(f"{self.issuer}/oauth/token", data=form, auth=(CLIENT, SECRET)).json()["access_token"]

    def log_in(self, url: str, user: str = "jane") -> str:
        """Go through the provider's own pages as a browser does; return where it sends the browser in the end."""
        with httpx.Client(base_url=self.issuer, follow_redirects=True) as browser:
            page = browser.get(url)
            for given in ({"login": user}, {"password": PASSWORD}):
                action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
                fields = dict(re.findall(r'name="(csrf_token)"[^>]*value="([^"]+)"', page.text))
                target = action.group(1) if action else str(page.url)
                page = browser.post(target, data={**fields, **given}, follow_redirects=False)
                while page.is_redirect:
                    location = page.headers["location"]
                    if location.startswith(REDIRECT):
                        return location
                    page = browser.get(location, follow_redirects=False)
        raise AssertionError(f"the provider sent nobody back: {page.url}\n{page.text[:2000]}")


@contextmanager
def openid_provider(folder: Path) -> Iterator[Provider]:
    """Start the provider, yield it, stop it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "provider.log").open("wb")
    process = subprocess.Popen([sys.executable, __file__, str(port)], stdout=log, stderr=log, cwd=folder)
    provider = Provider(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(provider.discovery, timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the provider did not start: {(folder / 'provider.log').read_text()[-3000:]}")
            time.sleep(0.1)
        yield provider
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def serve(port: int) -> None:
    from canaille import create_app
    from canaille.app import models
    from canaille.backends import Backend
    from werkzeug.serving import run_simple

    app = create_app(
        {
            "SECRET_KEY": "only for tests",
            "SERVER_NAME": f"127.0.0.1:{port}",
            "PREFERRED_URL_SCHEME": "http",
            "CANAILLE": {"DATABASE": "memory", "SMTP": None},
            "CANAILLE_OIDC": {"REQUIRE_NONCE": False},
        }
    )
    with app.app_context():
        store: Any = Backend.instance
        kinds: Any = models  # filled in by the application
        people = {}
        for name in ("jane", "john"):
            people[name] = kinds.User(
                user_name=name,
                formatted_name=f"{name.title()} Doe",
                family_name="Doe",
                emails=[f"{name}@corp.test"],
                password=PASSWORD,
            )
            store.save(people[name])
        store.save(kinds.Group(display_name="staff", members=[people["jane"]]))
        for id in (CLIENT, STRANGER):
            client = kinds.Client(
                client_id=id,
                client_secret=SECRET,
                client_name=id,
                client_uri="http://127.0.0.1",  # trusted: no question for consent
                redirect_uris=[REDIRECT],
                grant_types=["authorization_code", "password", "client_credentials", "refresh_token"],
                response_types=["code"],
                scope=["openid", "profile", "email", "groups"],
                token_endpoint_auth_method="client_secret_basic",
            )
            store.save(client)
            client.audience = [client]
            store.save(client)
    run_simple("127.0.0.1", port, app, threaded=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
