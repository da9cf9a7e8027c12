# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An address that two balancers share: real keepalived and HAProxy, in a network of their own.

A container that only sleeps stands for each host; keepalived and HAProxy live in its network.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import urllib.request

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy_config import (
    render as haproxy_config,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.shared_address import held
from ansible_collections.intranet.mcp.plugins.plugin_utils.balancer.keepalived_config import render
from conftest import image, wait_until
from servers.balancer import PORTS, Replica

pytestmark = pytest.mark.integration

ROLE_DEFAULTS = "roles/load_balancer/defaults/main.yml"
ROUTER = 77
# Two bad answers a second apart, and the time a backup waits; the machine may be busy.
MOVES_SECONDS = 15
NAMES = ("lb1", "lb2")
SETTINGS = {
    "tls": False,
    "public_port": 80,
    "ports": PORTS,
    "timeout_seconds": 30,
    "connect_seconds": 1,
    "check_seconds": 1,
    "max_connections": 500,
}


class Host:
    """A balancer's host: HAProxy, keepalived, and the addresses that it has."""

    def __init__(self, docker, name, folder):
        self.docker, self.name, self.folder = docker, name, folder
        self.home = docker.start(name, image("keepalived"), command=["sleep", "infinity"])
        networks = docker.run(
            "inspect", "--format", "{{json .NetworkSettings.Networks}}", self.home
        )
        self.address = json.loads(networks)[docker.network]["IPAddress"]
        self.haproxy, self.keepalived = f"{self.home}-haproxy", f"{self.home}-keepalived"
        docker.containers += [self.haproxy, self.keepalived]

    def beside(self, name, *options):
        """Start a container in this host's network."""
        limits = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only", "--init")
        place = ("--network", f"container:{self.home}", f"--volume={self.folder}:/config:ro")
        self.docker.run("run", "-d", f"--name={name}", *place, *limits, *options)

    def start_haproxy(self, replica):
        """Start HAProxy in front of a replica, as the role does."""
        server = {"name": replica.name, "address": replica.address, "is_name": False}
        pool = {"service": "litellm", "ready": "/ready", "alive": "/alive", "servers": [server]}
        text = haproxy_config([pool], SETTINGS)
        (self.folder / "haproxy.cfg").write_text(text)
        command = ("haproxy", "-W", "-db", "-f", "/config/haproxy.cfg")
        run = "--tmpfs=/run/haproxy:uid=99,gid=99"
        self.beside(self.haproxy, "--user=99:99", run, image("haproxy"), *command)

    def start_keepalived(self, sharing, router=ROUTER):
        """Start keepalived as the role does."""
        self.write_keepalived(sharing, router)
        role = yaml.safe_load((support.REPOSITORY / ROLE_DEFAULTS).read_text())
        capabilities = role["load_balancer_keepalived_service"]["capabilities"]
        rights = ("--user=0:0", *(f"--cap-add={name}" for name in capabilities))
        places = ("--tmpfs=/run", "--tmpfs=/tmp")
        start = (image("keepalived"), "keepalived-start", self.address)
        self.beside(self.keepalived, *rights, *places, *start)

    def write_keepalived(self, sharing, router=ROUTER):
        settings = {"router_id": router, "alive_port": PORTS["metrics"]}
        text = render({"address": self.address, "excluded": [], **sharing}, settings)
        (self.folder / "keepalived.conf").write_text(text)

    def holds(self, address):
        listing = self.docker.run("exec", self.home, "ip", "-json", "address")
        return bool(held(listing, [address]))

    def state(self):
        """Return what the container's health check reads; empty before there is anything."""
        read = "cat /run/keepalived/state 2>/dev/null || true"
        return self.docker.run("exec", self.keepalived, "sh", "-c", read)

    def log(self):
        """Return what keepalived has said so far."""
        command = ["docker", "logs", self.keepalived]
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, **both, text=True, check=True).stdout


class Pair:
    """Two balancers, and the address that one of them holds."""

    def __init__(self, docker, folder):
        self.docker = docker
        (network,) = json.loads(docker.run("network", "inspect", docker.network))
        self.network = ipaddress.ip_network(network["IPAM"]["Config"][0]["Subnet"])
        # The engine gives out addresses from the other end.
        self.address = str(self.network[-6])
        self.replica = Replica(docker.gateway(), "app1")
        self.hosts = []
        for name in NAMES:
            (folder / name).mkdir()
            (folder / name).chmod(0o755)
            self.hosts.append(Host(docker, name, folder / name))
        for host in self.hosts:
            host.start_haproxy(self.replica)
        for number, host in enumerate(self.hosts):
            host.start_keepalived(self.sharing(host, 100 - number))

    def sharing(self, host, priority):
        peers = [other.address for other in self.hosts if other is not host]
        address = f"{self.address}/{self.network.prefixlen}"
        return {"peers": peers, "priority": priority, "addresses": [address]}

    def holders(self):
        return [host for host in self.hosts if host.holds(self.address)]

    def states(self):
        return sorted(host.state() for host in self.hosts)

    def only_holder(self):
        """Return the holder, where there is exactly one."""
        holders = self.holders()
        return holders[0] if len(holders) == 1 else None

    def other(self, host):
        return next(other for other in self.hosts if other is not host)

    def wait_for(self, host):
        wait_until(lambda: self.only_holder() is host, MOVES_SECONDS, f"{host.name} alone to hold")

    def get(self):
        """Return the body of an answer through the shared address; empty when there is none."""
        url = f"http://{self.address}:{PORTS['public']}/v1/models"
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                return response.read().decode()
        except OSError:
            return ""

    def close(self):
        self.replica.close()


@pytest.fixture(scope="module")
def made(docker, tmp_path_factory):
    pair = Pair(docker, tmp_path_factory.mktemp("pair"))
    yield pair
    pair.close()
    for host in pair.hosts:
        docker.run("rm", "-fv", host.keepalived, host.haproxy, host.home)


@pytest.fixture
def pair(made, docker):
    """Return the balancers, both at work whatever the test before did to them."""
    for host in made.hosts:
        docker.run("start", host.haproxy, host.keepalived)
    wait_until(lambda: made.states() == ["BACKUP", "MASTER"], 30, "a holder and a backup")
    wait_until(lambda: made.only_holder() and made.get() == "app1", 30, "one holder that answers")
    return made


def test_who_loses_haproxy_gives_the_address_away_and_does_not_take_it_back(pair, docker):
    holder = pair.only_holder()
    docker.run("kill", holder.haproxy)
    pair.wait_for(pair.other(holder))
    assert holder.state() == "FAULT"
    wait_until(lambda: pair.get() == "app1", MOVES_SECONDS, "an answer of the other balancer")
    docker.run("start", holder.haproxy)
    wait_until(lambda: holder.state() == "BACKUP", MOVES_SECONDS, "the mended one to be a backup")
    assert pair.only_holder() is pair.other(holder)


def test_who_is_stopped_hands_over_at_once(pair, docker):
    holder = pair.only_holder()
    other = pair.other(holder)
    already = len(other.log())
    docker.run("stop", holder.keepalived)
    pair.wait_for(other)
    # Without this farewell the new holder waits for three adverts and a half.
    assert "received priority 0 advertisement" in other.log()[already:]
    docker.run("start", holder.keepalived)
    wait_until(lambda: holder.state() == "BACKUP", MOVES_SECONDS, "a backup again")
    assert pair.only_holder() is pair.other(holder)


def test_a_killed_keepalived_leaves_no_second_holder(pair, docker):
    """Nobody takes the address off a host whose keepalived was killed, but the next one does."""
    holder = pair.only_holder()
    docker.run("kill", holder.keepalived)
    other = pair.other(holder)
    wait_until(lambda: other.holds(pair.address), MOVES_SECONDS, "the other to hold")
    docker.run("start", holder.keepalived)  # as the restart policy does
    pair.wait_for(other)


def test_a_reload_moves_nothing(pair, docker):
    holder = pair.only_holder()
    already = len(holder.log())
    # One peer more, as when a balancer is added.
    sharing = pair.sharing(holder, 100)
    sharing["peers"].append(str(pair.network[-7]))
    holder.write_keepalived(sharing)
    docker.run("kill", "--signal=HUP", holder.keepalived)

    wait_until(lambda: "Reload complete" in holder.log()[already:], MOVES_SECONDS, "the reload")
    assert pair.only_holder() is holder
    assert holder.state() == "MASTER"


def test_who_is_no_peer_takes_nothing(pair, docker, tmp_path):
    """No password is needed: an outsider with a higher priority is not listened to."""
    holder = pair.only_holder()
    (tmp_path / "outsider").mkdir()
    outsider = Host(docker, "outsider", tmp_path / "outsider")
    try:
        outsider.start_haproxy(pair.replica)
        elsewhere = f"{pair.network[-8]}/{pair.network.prefixlen}"
        peers = [host.address for host in pair.hosts]
        outsider.start_keepalived({"peers": peers, "priority": 254, "addresses": [elsewhere]})
        wait_until(lambda: outsider.state() == "MASTER", 30, "the outsider to advertise")
        assert pair.only_holder() is holder
        assert holder.state() == "MASTER"
    finally:
        docker.run("rm", "-fv", outsider.keepalived, outsider.haproxy, outsider.home)


def test_a_dead_host_costs_seconds(pair, docker):
    """The last test: a host that comes back to the network may get another address."""
    holder = pair.only_holder()
    for container in (holder.keepalived, holder.haproxy):
        docker.run("kill", container)
    docker.run("network", "disconnect", docker.network, holder.home)
    other = pair.other(holder)
    wait_until(lambda: other.holds(pair.address), MOVES_SECONDS, "the other to hold")
    wait_until(lambda: pair.get() == "app1", MOVES_SECONDS, "an answer")
