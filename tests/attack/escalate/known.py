"""What was found in upstream's services and has no test elsewhere, tried here."""

import asyncio
import re
import time

import httpx

from pileus.kernel.testing import client
from tests.attack.escalate import attack, by_password, by_token, log_in, ok, project_token, refused, user
from tests.attack.escalate.delegation import TRUSTS, by_credential, credential, trust_body, trusted
from tests.attack.world import PASSWORD, V3, World, settled


@attack("known", "say in a body what a rule is judged against (CVE-2026-42999)")
async def target_in_the_body(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    me, one = tenant.users["member"], victim.owned["credential"][0]
    claims = {
        "user_id": me, "project_id": tenant.project, "domain_id": tenant.domain, "credential": {"user_id": me},
        "target": {"credential": {"user_id": me}, "user": {"id": me}, "project": {"id": tenant.project}},
        "target.credential.user_id": me, "trust": {"trustor_user_id": me}, "is_admin": True, "roles": ["admin"],
    }  # fmt: skip
    async with world.as_(tenant, "member") as http:
        await ok(http, "GET", f"{V3}/credentials")
        await refused(http, "GET", f"{V3}/credentials/{one}", claims)
        await refused(http, "DELETE", f"{V3}/credentials/{one}", claims)
        await refused(http, "PATCH", f"{V3}/credentials/{one}", {**claims, "credential": {"blob": "x", "user_id": me}})
        await refused(http, "GET", f"{V3}/users/{victim.users['member']}/application_credentials", claims)
        await refused(http, "DELETE", f"{TRUSTS}/{victim.owned['trust'][0]}", claims)
        await refused(http, "GET", f"{V3}/users", claims)


@attack("known", "log in by one's own application credential as somebody else (CVE-2026-42998)")
async def somebody_elses_name(world: World) -> None:
    tenant = world.attacker
    found, http = await credential(world, name="own")
    await http.aclose()
    for other in (tenant.users["manager"], world.victim.users["member"]):
        for words in ({"id": found["id"]}, {"name": "own"}):
            proof = {**words, "secret": found["secret"], "user": {"id": other}}
            identity = {"methods": ["application_credential"], "application_credential": proof}
            answer = await log_in(world, identity)
            if answer.is_success:
                assert answer.json()["token"]["user"]["id"] == tenant.users["member"]


@attack("known", "make of one delegation another, or a key (CVE-2026-33551, -43000, -43001, -80182, -90460)")
async def delegations_of_delegations(world: World) -> None:
    tenant = world.attacker
    me = tenant.users["member"]
    found, http = await credential(world, name="free", unrestricted=True)
    async with http, world.as_(tenant, "member") as own:
        held = (await ok(own, "GET", f"{V3}/credentials")).json()["credentials"][0]["id"]
        lent = (await ok(own, "POST", TRUSTS, trust_body(world))).json()["trust"]["id"]
        by_trust = client(world.runtime, (await trusted(world, lent)).headers["x-subject-token"])
        async with by_trust:
            for one in (http, by_trust):
                await ok(one, "GET", "/networking/v2.0/networks")
                for project in (tenant.project, world.victim.project):
                    await refused(one, "POST", f"{V3}/users/{me}/credentials/OS-EC2", {"tenant_id": project})
                    body = {"type": "ec2", "blob": '{"access": "a", "secret": "s"}', "project_id": project}
                    await refused(one, "POST", f"{V3}/credentials", {"credential": body})
                await refused(one, "GET", f"{V3}/credentials")
                await refused(one, "GET", f"{V3}/credentials/{held}")
                await refused(one, "PATCH", f"{V3}/credentials/{held}", {"credential": {"project_id": None}})
                await refused(one, "DELETE", f"{V3}/credentials/{held}")
                await refused(one, "POST", TRUSTS, trust_body(world))
                await refused(one, "PUT", f"{V3}/OS-OAUTH1/authorize/{'0' * 32}", {"roles": [{"name": "member"}]})
        for scope in (None, {"project": {"id": tenant.project}}, "unscoped"):
            answer = await log_in(world, by_token(http.headers["X-Auth-Token"]), scope)
            token = answer.json().get("token", {})
            assert not answer.is_success or token["project"]["id"] == tenant.project, token
    assert (await by_credential(world, found)).status_code == 201


@attack("known", "tag what one may only read (CVE-2026-49299, CVE-2024-53916)")
async def tags_of_readers(world: World) -> None:
    network = world.attacker.owned["network"][0]
    path = f"/networking/v2.0/networks/{network}/tags"
    async with world.as_(world.attacker, "member") as http:
        await ok(http, "PUT", f"{path}/known")
    async with world.as_(world.attacker, "reader") as http:
        await ok(http, "GET", path)
        await refused(http, "PUT", f"{path}/mine")
        await refused(http, "PUT", path, {"tags": ["mine"]})
        await refused(http, "DELETE", path)
        await refused(http, "DELETE", f"{path}/known")
    foreign = world.victim.owned["network"][0]
    async with world.as_(world.attacker, "manager") as http:
        await refused(http, "PUT", f"/networking/v2.0/networks/{foreign}/tags/mine")


@attack("known", "be a service of a network that was lent (CVE-2026-50266, CVE-2015-5240), or take its subnets")
async def service_of_a_lent_network(world: World) -> None:
    victim, tenant = world.victim, world.attacker
    network = victim.owned["network"][0]
    share = {"object_type": "network", "object_id": network, "action": "access_as_shared"}
    async with world.as_(victim, "manager") as owner:
        lent = {"rbac_policy": {**share, "target_tenant": tenant.project}}
        policy = (await ok(owner, "POST", "/networking/v2.0/rbac-policies", lent)).json()["rbac_policy"]["id"]
        async with world.as_(tenant, "manager") as http:
            body = {"port": {"network_id": network}}
            port = (await ok(http, "POST", "/networking/v2.0/ports", body)).json()["port"]["id"]
            for more in (
                {"device_owner": "network:dhcp"}, {"device_owner": "network:router_interface"},
                {"device_owner": "network:distributed"}, {"port_security_enabled": False},
                {"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}]}, {"binding:host_id": "fake-1"},
            ):  # fmt: skip
                await refused(http, "POST", "/networking/v2.0/ports", {"port": {"network_id": network, **more}})
                await refused(http, "PUT", f"/networking/v2.0/ports/{port}", {"port": more})
            await refused(http, "PUT", f"/networking/v2.0/networks/{network}", {"network": {"name": "mine"}})
            subnet = {"network_id": network, "ip_version": 4, "cidr": "10.250.0.0/24"}
            await refused(http, "POST", "/networking/v2.0/subnets", {"subnet": subnet})
            pool = tenant.owned["subnetpool"][0]
            path = f"/networking/v2.0/subnetpools/{pool}/onboard_network_subnets"
            await refused(http, "PUT", path, {"network_id": network})  # CVE-2026-55707
            await ok(http, "DELETE", f"/networking/v2.0/ports/{port}")
        await ok(owner, "DELETE", f"/networking/v2.0/rbac-policies/{policy}")


@attack("known", "have a server placed without a claim by hints of the scheduler's own (CVE-2026-46448)")
async def hints_of_the_schedulers_own(world: World) -> None:
    hints = {"_nova_check_type": ["rebuild"], "_nova_flavor_id": "42", "query": '[">=", "$free_ram_mb", 1]'}
    body = {"name": "x", "imageRef": world.attacker.owned["image"][0], "flavorRef": "42", "networks": "none"}
    async with world.as_(world.attacker, "member") as http:
        answer = await http.post("/compute/v2.1/servers", json={"server": body, "os:scheduler_hints": hints})
        if not answer.is_success:
            assert answer.status_code == 400, answer.text
            return
        id = answer.json()["server"]["id"]
        found = await settled(http, f"/compute/v2.1/servers/{id}", "server", "ACTIVE", "ERROR")
        held = (await ok(world.admin, "GET", f"/placement/allocations/{id}")).json()["allocations"]
        assert held or found["status"] == "ERROR", "a server runs that claims nothing"
        await ok(http, "DELETE", f"/compute/v2.1/servers/{id}")


@attack("known", "make default security groups for projects that are none (CVE-2022-3277, CVE-2023-3637)")
async def groups_of_nobody(world: World) -> None:
    async with world.as_(world.attacker, "manager") as http:
        for number in range(5):
            await ok(http, "GET", f"/networking/v2.0/security-groups?project_id={number:032x}")
    rows = (await ok(world.admin, "GET", "/networking/v2.0/security-groups")).json()["security_groups"]
    assert not [row for row in rows if row["project_id"].startswith("0" * 20)]


@attack("known", "hold the server by a pattern that backtracks in a header (CVE-2026-71190)")
async def slow_headers(world: World) -> None:
    account = f"/object-store/v1/AUTH_{world.attacker.project}"
    async with world.as_(world.attacker, "member") as http:
        for text in ("text/plain;" + ";q=" * 4000, "a/b;" + '"\\' * 4000, "," * 8000, "text/" + "*" * 8000 + "!"):
            began = time.process_time()
            await http.get(account, headers={"Accept": text})
            await http.get(account, headers={"Range": f"bytes={text}"})
            await http.get(account, headers={"If-None-Match": text})
            took_s = time.process_time() - began
            assert took_s < 1, f"{text[:20]}... took {took_s:.1f} s"


@attack("known", "tell the store by headers which servers to talk to (CVE-2026-50221), or that one is inside")
async def inner_headers(world: World) -> None:
    box, name = world.victim.owned["container"][0], world.victim.owned["object"][0]
    heads = {
        "X-Container-Host": "127.0.0.1:1", "X-Account-Host": "127.0.0.1:1", "X-Backend-Allow-Method": "GET",
        "X-Backend-Owner": "1", "X-Backend-Etag-Is-At": "x", "X-Backend-Replication": "True", "X-Swift-Authorize": "1",
        "Swift-Owner": "1", "X-Newest": "true", "X-Timestamp": "1.0", "X-Container-Device": "sda",
    }  # fmt: skip
    async with world.as_(world.attacker, "member") as http:
        await refused(http, "GET", f"/object-store/v1/AUTH_{world.victim.project}/{box}/{name}", None, **heads)
        await ok(http, "PUT", f"/object-store/v1/AUTH_{world.attacker.project}/inner", None)


LOOPBACKS = (
    "http://127.0.0.1/", "http://localhost/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
    "http://127.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://0/", "http://169.254.169.254/latest/",
    "http://[fe80::1]/", "http://user@127.0.0.1/", "http://127.0.0.1:22/", "file:///etc/passwd", "gopher://127.0.0.1/",
    "http://127.0.0.1%00.example.org/", "http://[::ffff:7f00:1]/", "ftp://127.0.0.1/", "http://10.0.0.1/",
    "//127.0.0.1/",
    "http://192.168.0.1/", "http://[64:ff9b::7f00:1]/", "http:///etc/passwd", "http://127.0.0.1\\@example.org/",
)  # fmt: skip


@attack("known", "have an image fetched from inside (CVE-2026-34881, -71196, -71197, -71198; CVE-2017-7200)")
async def fetch_from_inside(world: World) -> None:
    async with world.as_(world.attacker, "member") as http:
        for uri in LOOPBACKS:
            body = {"name": "x", "disk_format": "raw", "container_format": "bare"}
            id = (await ok(http, "POST", "/image/v2/images", body)).json()["id"]
            method = {"method": {"name": "web-download", "uri": uri}}
            answer = await http.post(f"/image/v2/images/{id}/import", json=method)
            if answer.is_success:
                await _ended(http, id, uri)
            else:
                assert answer.status_code in (400, 403), f"{uri}: {answer.status_code} {answer.text[:200]}"
            await ok(http, "DELETE", f"/image/v2/images/{id}")


async def _ended(http: httpx.AsyncClient, id: str, uri: str) -> None:
    async with asyncio.timeout(15):
        while True:
            tasks = (await http.get(f"/image/v2/images/{id}/tasks")).json()["tasks"]
            if tasks and tasks[0]["status"] in ("success", "failure"):
                break
            await asyncio.sleep(0.02)
    assert tasks[0]["status"] == "failure", f"{uri} was fetched"
    image = (await http.get(f"/image/v2/images/{id}")).json()
    assert image["status"] in ("queued", "killed"), f"{uri}: {image['status']}"


@attack("known", "log in by the first 72 characters of a secret (CVE-2021-3563)")
async def cut_secrets(world: World) -> None:
    secret = "s" * 80 + "end"
    found, http = await credential(world, name="long", secret=secret)
    await http.aclose()
    assert (await by_credential(world, {**found, "secret": secret})).status_code == 201
    for wrong in (secret[:72], secret[:-1], secret + "x"):
        assert (await by_credential(world, {**found, "secret": wrong})).status_code == 401
    one = await user(world, "long-password")
    password = PASSWORD * 6
    await ok(world.admin, "PATCH", f"{V3}/users/{one}", {"user": {"password": password}})
    assert (await log_in(world, by_password(one, password))).status_code == 201
    assert (await log_in(world, by_password(one, password[:72]))).status_code == 401


@attack("known", "learn of users by refusals: locked, disabled, unknown (CVE-2021-38155, CVE-2018-20170)")
async def told_by_refusals(world: World) -> None:
    one = await user(world, "disabled", "member")
    token = await project_token(world, one)
    await ok(world.admin, "PATCH", f"{V3}/users/{one}", {"user": {"enabled": False}})
    told = set()
    for id, password in ((one, PASSWORD), (one, "wrong"), ("0" * 32, "wrong"), (world.victim.users["member"], "wrong")):
        answer = await log_in(world, by_password(id, password))
        told.add((answer.status_code, answer.text))
    assert len(told) == 1, told
    async with client(world.runtime, token) as http:
        await refused(http, "GET", f"{V3}/auth/projects")


@attack("known", "see projects or credentials that are not one's own (CVE-2018-14432, CVE-2019-19687)")
async def listed_for_all(world: World) -> None:
    ids = world.victim.ids()
    for persona in ("reader", "member", "manager", "domain admin"):
        async with world.as_(world.attacker, persona) as http:
            for path in ("OS-FEDERATION/projects", "OS-FEDERATION/domains", "auth/projects", "credentials", "limits"):
                answer = await ok(http, "GET", f"{V3}/{path}")
                assert not any(id in answer.text for id in ids), f"{path} as {persona}: {answer.text[:300]}"


@attack("known", "plant script in names that an operator sees in the dashboard (CVE-2016-4428, OSSA-2026-006)")
async def script_in_names(world: World) -> None:
    script = "<img src=x onerror=alert(1)>{{constructor}}"
    async with world.as_(world.attacker, "member") as http:
        await ok(http, "POST", "/networking/v2.0/networks", {"network": {"name": script, "description": script}})
        await ok(http, "POST", "/volume/v3/volumes", {"volume": {"name": script, "size": 1}})
        await ok(http, "POST", "/networking/v2.0/security-groups", {"security_group": {"name": script}})
    async with client(world.runtime) as browser:
        browser.follow_redirects = True
        form = {"user": f"{world.attacker.text}-member", "password": PASSWORD, "domain": world.attacker.text}
        page = await browser.post("/dashboard/login", data=form)
        assert "form_token" in page.text, page.text[:500]
        seen = 0
        for slug in ("networks", "volumes", "security-groups", "servers", "images"):
            page = await browser.get(f"/dashboard/{slug}")
            assert script not in page.text, f"the page of {slug} has the script as it was written"
            assert (
                "unsafe-inline"
                not in page.headers.get("content-security-policy", "unsafe-inline").split("script-src")[-1]
            )
            seen += "&lt;img src=x" in page.text
        assert seen > 0, "no page shows the names at all"


@attack("known", "fill the store of sessions, or be led elsewhere after the log-in (CVE-2026-43002, -2020-29565)")
async def sessions_of_strangers(world: World) -> None:
    async with client(world.runtime) as browser:
        for there in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
            page = await browser.get("/dashboard/login", params={"next": there})
            assert not page.headers.get("set-cookie"), "a stranger gets a session"
            form = {"user": f"{world.attacker.text}-member", "password": PASSWORD, "domain": world.attacker.text}
            answer = await browser.post("/dashboard/login", params={"next": there}, data={**form, "next": there})
            assert not re.search("evil|alert", answer.headers.get("location", ""))
            for cookie in answer.headers.get_list("set-cookie"):
                assert {"httponly", "samesite=lax"} <= set(cookie.lower().replace(" ", "").split(";")) or (
                    "samesite=strict" in cookie.lower().replace(" ", "")
                ), cookie
            browser.cookies.clear()


@attack("known", "put directives into a DHCP server's options (CVE-2021-40085), or endless routes into memory")
async def directives(world: World) -> None:
    network = world.attacker.owned["network"][0]
    async with world.as_(world.attacker, "manager") as http:
        good = {"port": {"network_id": network, "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}]}}
        await ok(http, "POST", "/networking/v2.0/ports", good)
        for name, value in (
            ("mtu\ndhcp-script=/bin/sh", "1"), ("mtu", "1\ndhcp-script=/bin/sh"), ("mtu", "1\r\nx"),
            ("mtu\x00", "1"), ("mtu", "1\x00"),
        ):  # fmt: skip
            body = {"network_id": network, "extra_dhcp_opts": [{"opt_name": name, "opt_value": value}]}
            await refused(http, "POST", "/networking/v2.0/ports", {"port": body})
        for field in ("dns_domain", "name"):
            answer = await http.post("/networking/v2.0/networks", json={"network": {field: "x\ndhcp-script=/bin/sh"}})
            assert answer.status_code == 400 or field == "name"
