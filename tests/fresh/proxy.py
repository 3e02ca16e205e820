"""The proxies of docs/tls.md as they stand there, in front of a fake cloud."""

import re
from pathlib import Path

from tests.fresh.run import CHECKOUT, Run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tls.md"
PREPARE = f"""set -e
cd {CHECKOUT}
export DEBIAN_FRONTEND=noninteractive
apt-get update -q && apt-get install -y -q --no-install-recommends nginx haproxy openssl procps >/dev/null
mkdir -p /etc/ssl/cloud && cd /etc/ssl/cloud
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=cloud.example.org \\
    -addext subjectAltName=DNS:cloud.example.org -keyout privkey.pem -out fullchain.pem 2>/dev/null
cat fullchain.pem privkey.pem > both.pem
grep -q cloud.example.org /etc/hosts || echo 127.0.0.1 cloud.example.org >> /etc/hosts
cd {CHECKOUT} && ./pileus openrc --help >/dev/null
./pileus up --fake --state /var/tmp/proxied
"""
USE = f"""set -e
cd {CHECKOUT}
eval "$(./pileus openrc --project demo --state /var/tmp/proxied)"
export OS_AUTH_URL=https://cloud.example.org/identity/v3 OS_CACERT=/etc/ssl/cloud/fullchain.pem
openstack catalog list -f value | grep -c https://cloud.example.org
! openstack catalog list -f value | grep -e http:// -e 127.0.0.1
openstack server create --image pileus-mini --flavor pileus.mini --network private --wait "$1" -c status -f value
head -c 30000000 /dev/zero > /var/tmp/zeros
openstack image create --file /var/tmp/zeros --disk-format raw "$1" -c status -f value
openstack container create "$1" && cd /var/tmp && openstack object create --name 'a/b%2Fc d' "$1" zeros
openstack object list "$1" -f value | grep -x 'a/b%2Fc d'
export URL="$(openstack console url show "$1" -f value -c url)"
{CHECKOUT}/.venv/bin/python - <<'END'
import asyncio, json, os, ssl, time, urllib.parse, urllib.request
import websockets
context = ssl.create_default_context(cafile=os.environ["OS_CACERT"])
url = urllib.parse.urlsplit(os.environ["URL"])
assert (url.scheme, url.netloc) == ("https", "cloud.example.org"), url
path = urllib.parse.parse_qs(url.query)["path"][0]
async def knock():
    try:
        async with websockets.connect(f"wss://cloud.example.org/{{path}}", ssl=context):
            return 101
    except websockets.InvalidStatus as refused:
        return refused.response.status_code
# A fake guest has no screen; only the cloud itself, asked by a websocket with a right to it, says 503 here.
assert asyncio.run(knock()) == 503
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), urllib.request.HTTPCookieProcessor())
form = {{"user": os.environ["OS_USERNAME"], "password": os.environ["OS_PASSWORD"]}}
page = opener.open("https://cloud.example.org/dashboard/login", urllib.parse.urlencode(form).encode())
assert page.url == "https://cloud.example.org/dashboard/overview", page.url
jar = next(h for h in opener.handlers if isinstance(h, urllib.request.HTTPCookieProcessor)).cookiejar
assert all(cookie.secure for cookie in jar), list(jar)
began = time.monotonic()
events = opener.open("https://cloud.example.org/dashboard/events", timeout=30)
print(events.headers["content-type"], events.read(1), f"after {{time.monotonic() - began:.1f}} s")
END
"""
NGINX = """set -e
cat > /etc/nginx/conf.d/cloud.conf <<'END'
{block}
END
rm -f /etc/nginx/sites-enabled/default
nginx -t && nginx
"""
HAPROXY = """set -e
nginx -s quit; while pgrep -x nginx >/dev/null 2>&1; do sleep 0.1; done; sleep 1
printf 'global\\n    daemon\\n    pidfile /run/haproxy.pid\\n' > /run/haproxy.cfg
cat >> /run/haproxy.cfg <<'END'
{block}
END
haproxy -c -f /run/haproxy.cfg && haproxy -f /run/haproxy.cfg
"""
END = f"""kill $(cat /run/haproxy.pid); cd {CHECKOUT} && ./pileus down --purge --state /var/tmp/proxied"""


def proxy(run: Run) -> None:
    """Start each and go through it."""
    page = PAGE.read_text()
    blocks = {kind: _block(page, kind) for kind in ("nginx", "haproxy")}
    run.do("a fake cloud, nginx and HAProxy of Debian", PREPARE, "root", checkout=False)
    for kind, script in (("nginx", NGINX), ("haproxy", HAPROXY)):
        run.do(f"{kind} as docs/tls.md says", script.format(block=blocks[kind]), "root", checkout=False)
        run.do(f"clients, image, dashboard, console through {kind}", f"set -- {kind}\n{USE}", "root", checkout=False)
    run.do("both are gone", END, "root", checkout=False)


def _block(page: str, kind: str) -> str:
    found = re.search(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found, f"docs/tls.md has no block of {kind}"
    return found[1].rstrip()
