"""The pages over a fake cloud: who gets in, what is shown, what forms do, and what they refuse."""

import asyncio
import re

import httpx
import pytest

from pileus.kernel.errors import Unavailable
from pileus.kernel.testing import client, running
from pileus.services.dashboard import live
from pileus.services.dashboard.panel import find_panels
from pileus.services.identity.testing import login, password_of

PAGES = [panel.slug for panel in find_panels()]


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path) as runtime:
        yield runtime


@pytest.fixture
async def browser(cloud):
    async with client(cloud) as http:
        http.follow_redirects = True
        yield http


async def log_in(browser: httpx.AsyncClient, cloud, user: str = "demo") -> str:
    """Log in and return the form token."""
    form = {"user": user, "password": password_of(cloud, user), "domain": "default"}
    page = await browser.post("/dashboard/login", data=form)
    assert page.status_code == 200
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


async def test_every_page_asks_strangers_to_log_in(browser):
    for path in ("", *(f"/{slug}" for slug in PAGES), "/servers/new", "/servers/x"):
        page = await browser.get(f"/dashboard{path}")
        assert page.url.path == "/dashboard/login", path
    assert (await browser.get("/dashboard/events")).status_code == 401


async def test_a_wrong_password_is_told_and_a_forged_cookie_is_nothing(browser, cloud):
    page = await browser.post("/dashboard/login", data={"user": "demo", "password": "wrong"})
    assert page.status_code == 401
    assert 'role="alert"' in page.text
    browser.cookies.set("pileus_session", "gAAAAforged", path="/dashboard")
    assert (await browser.get("/dashboard/servers")).url.path == "/dashboard/login"


@pytest.mark.parametrize("slug", PAGES)
async def test_every_panel_shows_itself(browser, cloud, slug):
    await log_in(browser, cloud)
    page = await browser.get(f"/dashboard/{slug}")
    assert page.status_code == 200
    assert 'aria-current="page"' in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]


async def test_forms_without_their_token_change_nothing(browser, cloud):
    await log_in(browser, cloud)
    page = await browser.post("/dashboard/volumes", data={"name": "x", "size": "1"})
    assert page.status_code == 403
    assert "There are no volumes" in (await browser.get("/dashboard/volumes")).text


async def test_a_volume_from_the_form_to_its_end(browser, cloud):
    token = await log_in(browser, cloud)
    page = await browser.post("/dashboard/volumes", data={"form_token": token, "name": "<b>v</b>", "size": "1"})
    assert "is being made" in page.text
    assert "<b>v</b>" not in page.text
    page = await browser.post("/dashboard/volumes", data={"form_token": token, "name": "w", "size": "many"})
    assert page.status_code == 400
    assert "whole number" in page.text
    assert 'value="w"' in page.text


async def test_a_refusal_of_the_apis_is_shown_in_its_own_words(browser, cloud):
    token = await log_in(browser, cloud)
    page = await browser.post("/dashboard/key-pairs", data={"form_token": token, "name": "k", "public_key": "nonsense"})
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert (await browser.get("/dashboard/servers/no-such-server")).status_code == 404
    assert (await browser.get("/dashboard/no-such-panel")).status_code == 404


async def test_logging_out_ends_the_token_itself(browser, cloud):
    token = await log_in(browser, cloud)
    cookie = browser.cookies["pileus_session"]
    await browser.post("/dashboard/logout", data={"form_token": token})
    browser.cookies.set("pileus_session", cookie, path="/dashboard")
    page = await browser.get("/dashboard/servers")
    assert page.status_code == 401
    assert "session has ended" in page.text


async def test_a_page_misses_nothing_between_its_making_and_its_events(browser, cloud):
    token = await log_in(browser, cloud)
    page = await browser.get("/dashboard/volumes")
    found = re.search(r"/dashboard/events\?after=(\d+)", page.text)
    assert found is not None
    await browser.post("/dashboard/volumes", data={"form_token": token, "name": "v", "size": "1"})
    project = re.search(r'name="project_id">\s*<option value="(\w+)"', page.text)
    stream = live._messages(cloud, project[1], int(found[1]))
    said = [await anext(stream) for _ in range(2)]
    await stream.aclose()
    assert "event: block_storage.volume" in said[1]


async def test_a_server_says_why_it_waits(browser, cloud):
    """What a host goes on refusing is told to the server's owner: the refusal, how often, and the next try."""
    await log_in(browser, cloud)
    parts = [part for host in cloud.local_hosts.hosts.values() for part in host.parts]
    drivers = [part.driver for part in parts if part.service == "compute"]

    def refuse(verb: str, guest_id: str) -> None:
        raise Unavailable("The hypervisor does not start: its port is taken.")

    for driver in drivers:
        driver.fault = refuse
    async with client(cloud, await login(cloud, "demo")) as http:
        image = (await http.get("/image/v2/images")).json()["images"]
        made = {"name": "w", "disk_format": "raw", "container_format": "bare"}
        id = image[0]["id"] if image else (await http.post("/image/v2/images", json=made)).json()["id"]
        if not image:
            kind = {"Content-Type": "application/octet-stream"}
            await http.put(f"/image/v2/images/{id}/file", content=b"0" * 4096, headers=kind)
        body = {"name": "waits", "imageRef": id, "flavorRef": "42", "networks": "none"}
        version = {"OpenStack-API-Version": "compute 2.37"}
        answer = await http.post("/compute/v2.1/servers", json={"server": body}, headers=version)
        server = answer.json()["server"]["id"]
    told = r"Refused (once|\d+ times), last: The hypervisor does not start: its port is taken\. Next try at \d\d:"
    for _ in range(300):
        page = (await browser.get(f"/dashboard/servers/{server}")).text
        if re.search(told, page):
            break
        await asyncio.sleep(0.02)
    assert re.search(told, page), page
    for driver in drivers:
        driver.fault = None
    for _ in range(1000):
        page = (await browser.get(f"/dashboard/servers/{server}")).text
        if "Refused" not in page:
            break
        await asyncio.sleep(0.02)
    assert "Refused" not in page
