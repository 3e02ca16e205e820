"""The life of the Debian package: made, installed, started by systemd, used, updated, removed, brought back, purged."""

from tests.fresh.machine import USER
from tests.fresh.run import CHECKOUT, Run

PACKAGES = "/var/tmp/packages"
CLOUD = 'set -e\neval "$(pileus openrc --project demo)"\n'
CREATE = "openstack server create --image pileus-mini --flavor pileus.mini --network private --wait one"
GUEST = "pgrep '^pileus-[0-9a-f]{8}'"
"""QEMU processes carry the beginning of their guest's id as their name."""
CLEAN = "ls /sys/class/net | diff /run/links - && ! ip netns list | grep . && ! pgrep '^(pileus-[0-9a-f]{8}|dnsmasq)'"
UNITS = "/usr/lib/systemd/system/pileus.service /usr/lib/systemd/system/pileus-agent.service"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install -y -q"
TOOLS = "man-db bash-completion zsh fish procps iproute2"


def deb(run: Run) -> None:
    """Go through it, each step in a new shell."""
    run.do("`packaging/build-deb`", f"packaging/build-deb {PACKAGES}", USER)
    if run.steps[-1].code != 0:
        return
    systemd = f"apt-get update -q && {INSTALL} --no-install-recommends systemd systemd-sysv dbus {TOOLS}"
    run.do("its next revision", NEXT, USER, checkout=False)
    run.do("systemd becomes the first process", systemd, "root", checkout=False)
    run.machine.boot(run.log)
    rooted = [
        ("systemd runs", "systemctl is-system-running | grep -x running"),
        ("`apt-get install ./pileus_..._amd64.deb`", f"{INSTALL} {PACKAGES}/pileus_*-1~*.deb"),
        ("units: `systemd-analyze verify`", f'[ -z "$(systemd-analyze verify {UNITS} 2>&1 | tee /dev/stderr)" ]'),
        ("manual and completion of three shells", HELP),
        ("`systemctl enable --now pileus`", "systemctl enable --now pileus && systemctl is-active pileus pileus-agent"),
        ("`pileus up` finds it running", "pileus up && pileus status"),
        ("a server by `openstack`", f"{CLOUD}{CREATE}"),
        ("killed, it is started again", KILLED),
        ("TLS by /etc/pileus/pileus.toml", TLS),
        ("update: guests go on", UPDATE),
        ("`pileus down`, `pileus up` go through systemd", DOWN_UP),
        ("`apt-get remove`: guests and networks are gone", f"apt-get remove -y -q pileus && {CLEAN}"),
        ("the cloud's own is still there", "ls /var/lib/pileus/pileus.db /etc/pileus/pileus.toml"),
        ("installed again: the cloud is back", AGAIN),
        ("its server starts", f"{CLOUD}openstack server start one\n{ACTIVE}"),
        ("`apt-get purge`: nothing is left", PURGE),
        ("a fake cloud without the recommended packages", FAKE),
        ("`apt-get purge` of it", PURGE),
    ]
    for what, script in rooted:
        run.do(what, script, "root", checkout=False)


HELP = f"""set -e
man pileus | grep -A3 'EXIT CODES'
complete() {{ bash -c '. /usr/share/bash-completion/completions/pileus; COMP_WORDS=(pileus "$1"); COMP_CWORD=1
_shtab_pileus; echo "${{COMPREPLY[@]}}"' - "$1"; }}
[ "$(complete stat)" = status ]
zsh -fc 'autoload -U compinit; compinit -D; whence -v _pileus; [[ ${{_comps[pileus]}} == _pileus ]]'
fish -c 'complete -C "pileus stat"' | grep '^status'
cd {CHECKOUT} && git status --short | diff /dev/null -
"""
ACTIVE = """for i in $(seq 100); do
    [ "$(openstack server show one -f value -c status)" = ACTIVE ] && exit 0; sleep 1
done; exit 1"""
NEXT = f"""set -e
cd {PACKAGES}
dpkg-deb -R pileus_*.deb next
sed -i 's/^Version: \\(.*\\)-1~/Version: \\1-2~/' next/DEBIAN/control
name=$(echo pileus_*-1~*.deb | sed 's/-1~/-2~/')
dpkg-deb -Zzstd -z1 --root-owner-group -b next "$name" >/dev/null
rm -r next
ls -l
"""
KILLED = """set -e
before=$(systemctl show -p MainPID --value pileus)
kill -9 "$before"
for i in $(seq 300); do
    [ "$(systemctl show -p MainPID --value pileus)" != "$before" ] && systemctl is-active -q pileus && break; sleep 0.2
done
systemctl is-active pileus pileus-agent
eval "$(pileus openrc --project demo)"
openstack server list
"""
TLS = """set -e
sed -i 's/^# tls = true.*/tls = true/' /etc/pileus/pileus.toml
systemctl restart pileus pileus-agent
eval "$(pileus openrc --project demo)"
echo "$OS_AUTH_URL $OS_CACERT"
openstack server list -f value | grep ACTIVE
openstack catalog list -f value | grep -c https://
! openstack catalog list -f value | grep http://
systemctl reload pileus && systemctl is-active pileus
URL=$(openstack console url show one -f value -c url) /opt/pileus/bin/python - <<'END'
import asyncio, os, ssl
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen
import websockets
context = ssl.create_default_context(cafile=os.environ["OS_CACERT"])
url = urlsplit(os.environ["URL"])
assert url.scheme == "https", url
assert b"noVNC" in urlopen(url.geturl(), context=context).read()
async def knock():
    where = f"wss://{url.netloc}/{parse_qs(url.query)['path'][0]}"
    async with websockets.connect(where, ssl=context, subprotocols=["binary"]) as screen:
        return await screen.recv()
print("the guest's screen by wss:", asyncio.run(knock()))
assert asyncio.run(knock()).startswith(b"RFB 003")
END
"""
UPDATE = f"""set -e
guest=$({GUEST})
server=$(systemctl show -p MainPID --value pileus)
{INSTALL} {PACKAGES}/pileus_*-2~*.deb
dpkg-query -W pileus | grep -e -2~
systemctl is-active pileus pileus-agent
[ "$({GUEST})" = "$guest" ]
[ "$(systemctl show -p MainPID --value pileus)" != "$server" ]
grep -x 'tls = true' /etc/pileus/pileus.toml
{CLOUD}openstack server list -f value | grep ACTIVE
"""
DOWN_UP = """set -e
pileus down
! systemctl is-active pileus pileus-agent
pileus up
systemctl is-active pileus pileus-agent
"""
AGAIN = f"""set -e
{INSTALL} {PACKAGES}/pileus_*-2~*.deb
systemctl start pileus
systemctl is-active pileus pileus-agent
{CLOUD}openstack server show one -f value -c status
"""
PURGE = f"""set -e
apt-get purge -y -q pileus
{CLEAN}
! ls -d /opt/pileus /etc/pileus /var/lib/pileus /var/cache/pileus /usr/bin/pileus
! systemctl list-unit-files --no-pager | grep pileus
"""
FAKE = f"""set -e
apt-get autoremove -y -q >/dev/null
{INSTALL} --no-install-recommends {PACKAGES}/pileus_*-2~*.deb
! command -v qemu-img
sed -i 's/^# fake = true.*/fake = true/' /etc/pileus/pileus.toml
systemctl start pileus
systemctl is-active pileus
! systemctl is-active pileus-agent
pileus up
{CLOUD}{CREATE}
"""
