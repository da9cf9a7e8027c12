# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Real packets against real rules, in network namespaces of the test's own.

    user 10.77.1.2, fd77:1::2 ------+
                                    |        +-- bridge -- box 172.30.7.2 (a "container")
                                    +-- host +
                                    |        +-- bridge -- data 172.30.8.2 (one of another network)
    outsider 10.77.2.2, fd77:2::2 --+

The host publishes 8080 of the box and 8081 of data as Docker does (destination NAT). It listens on
4000 (managed), 9999 (nobody's business) and 22, by the address of cloud metadata, too. User and
outsider listen as well: to containers they are other machines, the outsider with a public address.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(
        not (shutil.which("nft") and shutil.which("ip")), reason="no nft or ip here"
    ),
]

REPOSITORY = Path(__file__).parents[3]
BRIDGE = "imcp-test"
DATA_BRIDGE = "imcp-test2"
METADATA = "169.254.169.254"
PUBLIC = "8.8.4.4"  # in a namespace: no packet leaves this machine
NETWORKS = [
    {"name": "boxes", "interface": BRIDGE},
    {"name": "data", "interface": DATA_BRIDGE},
]

NAMESPACES = ("host", "user", "outsider", "box", "data")

LISTEN = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    selector.register(server, selectors.EVENT_READ)
print("ready", flush=True)
kept = []
while True:
    for key, _ in selector.select():
        connection = key.fileobj.accept()[0]
        connection.sendall(b"hello")
        kept.append(connection)
"""

CONNECT = """
import concurrent.futures, json, socket, sys
def opens(target):
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.5) as connection:
            return connection.recv(5) == b"hello"
    except OSError:
        return False
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(json.dumps([t for t, ok in zip(sys.argv[1:], pool.map(opens, sys.argv[1:])) if ok]))
"""

MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.intranet.mcp.plugins.modules import firewall
with patch_module_args(json.loads(sys.argv[1])):
    firewall.main()
"""


class Lab:
    def __init__(self, home: Path):
        self.home = home
        self.prefix = f"imcp{os.getpid() % 10000}-"
        self.processes: list[subprocess.Popen] = []

    def run(self, *command: str, inside: str = "", script: str = "") -> str:
        prefix = ["ip", "netns", "exec", self.prefix + inside] if inside else []
        return subprocess.run(
            [*prefix, *command],
            input=script,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def build(self) -> None:
        for name in NAMESPACES:
            self.run("ip", "netns", "add", self.prefix + name)
            self.run("ip", "link", "set", "lo", "up", inside=name)
        for name, bridge, subnet in (("box", BRIDGE, 7), ("data", DATA_BRIDGE, 8)):
            gateway = f"172.30.{subnet}.1"
            self.run("ip", "link", "add", bridge, "type", "bridge", inside="host")
            self.run("ip", "link", "set", bridge, "up", inside="host")
            self.run("ip", "address", "add", f"{gateway}/24", "dev", bridge, inside="host")
            self.link(name, f"172.30.{subnet}.2/24", None, gateway, master=bridge)
        self.link("user", "10.77.1.2/24", "fd77:1::2/64", "10.77.1.1")
        self.link("outsider", "10.77.2.2/24", "fd77:2::2/64", "10.77.2.1")
        self.run("ip", "address", "add", f"{METADATA}/32", "dev", "lo", inside="host")
        self.run("ip", "address", "add", f"{PUBLIC}/32", "dev", "lo", inside="outsider")
        self.run("ip", "route", "add", PUBLIC, "via", "10.77.2.2", inside="host")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", inside="host")
        self.run(
            "nft",
            "-f",
            "-",
            inside="host",
            script="table ip nat { chain PREROUTING { type nat hook prerouting priority dstnat;\n"
            "fib daddr type local tcp dport 8080 dnat to 172.30.7.2:8000\n"
            "fib daddr type local tcp dport 8081 dnat to 172.30.8.2:6379\n}\n}\n",
        )
        self.listen("host", 4000, 9999, 22)
        self.listen("box", 8000)
        self.listen("data", 6379)
        self.listen("user", 5000, 5001)
        self.listen("outsider", 443)

    def link(self, name, v4, v6, gateway, master="") -> None:
        namespace, peer = self.prefix + name, f"to-{name}"
        self.run(
            *["ip", "-n", self.prefix + "host", "link", "add", peer, "type", "veth"],
            *["peer", "name", "eth0", "netns", namespace],
        )
        self.run("ip", "link", "set", peer, "up", inside="host")
        self.run("ip", "link", "set", "eth0", "up", inside=name)
        self.run("ip", "address", "add", v4, "dev", "eth0", inside=name)
        if master:
            self.run("ip", "link", "set", peer, "master", master, inside="host")
        else:
            self.run("ip", "address", "add", gateway + "/24", "dev", peer, inside="host")
            own, other = v6, v6.replace("::2", "::1")
            for inside, address, device in ((name, own, "eth0"), ("host", other, peer)):
                add = ["ip", "-6", "address", "add", address, "dev", device, "nodad"]
                self.run(*add, inside=inside)
            self.run("ip", "-6", "route", "add", "default", "via", other[:-3], inside=name)
        self.run("ip", "route", "add", "default", "via", gateway, inside=name)

    def listen(self, name: str, *ports: int) -> None:
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.prefix + name, sys.executable, "-c", LISTEN]
            + [str(port) for port in ports],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        assert process.stdout.readline() == "ready\n"

    def reached_by(self, name: str, *targets: str) -> set[str]:
        return set(json.loads(self.run(sys.executable, "-c", CONNECT, *targets, inside=name)))

    def module(self, **arguments) -> dict:
        """The module alone, as the action plugin calls it: changes stay unconfirmed."""
        values = {
            "flows": [{"service": "web", "port": 8080, "sources": ["10.77.1.0/24", "fd77:1::/64"]}],
            "managed_ports": [4000, 8080, 8081],
            "networks": NETWORKS,
            "path": str(self.home / "firewall.nft"),
            "run_directory": str(self.home / "run"),
            "unit": str(self.home / "firewall.service"),
            "rollback_seconds": 60,
            **arguments,
        }
        result = subprocess.run(
            [
                *["ip", "netns", "exec", self.prefix + "host"],
                *[sys.executable, "-c", MODULE, json.dumps(values)],
            ],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / ".cache/collections")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.stdout, result.stderr
        return json.loads(result.stdout)

    def apply(self, **arguments) -> dict:
        result = self.module(**arguments)
        if result.get("pending"):
            confirmed = self.module(**arguments, confirm=result["pending"])
            assert not confirmed.get("failed"), confirmed
        return result

    def rules(self) -> str:
        return self.run("nft", "list", "ruleset", inside="host")

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for name in NAMESPACES:
            subprocess.run(
                ["ip", "netns", "del", self.prefix + name], capture_output=True, check=False
            )


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    try:
        lab.build()
        yield lab
    finally:
        lab.close()


def test_only_the_flows_sources_reach_managed_ports_of_either_kind(lab):
    targets = [
        *[f"10.77.{net}.1:{port}" for net in (1, 2) for port in (4000, 8080, 9999, 22)],
        *[f"fd77:{net}::1:{port}" for net in (1, 2) for port in (4000, 9999, 22)],
    ]
    everything = set(targets)
    user = {t for t in everything if t.startswith(("10.77.1.", "fd77:1:"))}
    assert lab.reached_by("outsider", "10.77.2.1:8080", "10.77.2.1:4000", "172.30.7.2:8000") == {
        "10.77.2.1:8080",
        "10.77.2.1:4000",
        "172.30.7.2:8000",
    }, "the lab itself lets everything through"
    flows = [
        {"service": "web", "port": 8080, "sources": ["10.77.1.2/32", "10.77.1.0/24"]},
        {"service": "api", "port": 4000, "sources": ["10.77.1.0/24", "fd77:1::/64"]},
    ]
    assert lab.apply(flows=flows)["changed"]
    assert lab.reached_by("user", *user) == user
    assert lab.reached_by("outsider", *targets, "172.30.7.2:8000") == {
        t for t in targets if t.endswith((":9999", ":22"))
    }
    assert lab.reached_by("host", "127.0.0.1:4000", "::1:4000") == {"127.0.0.1:4000", "::1:4000"}


# What a container may try: ports of its host by each address, published or not; a container of
# another network; other machines, in private networks and on the internet; a cloud's metadata.
HOST = {"172.30.7.1:4000", "172.30.7.1:9999", "172.30.7.1:22", "10.77.1.1:4000", "10.77.1.1:8081"}
ELSEWHERE = {"10.77.1.2:5000", "10.77.1.2:5001"}
OTHERS = {"172.30.8.2:6379", "172.30.8.1:4000"}
INTERNET = {f"{PUBLIC}:443"}
CLOUD = {f"{METADATA}:4000"}
EVERYTHING = HOST | ELSEWHERE | OTHERS | INTERNET | CLOUD


def from_box(**network):
    return {"networks": [{**NETWORKS[0], **network}, NETWORKS[1]]}


def test_a_container_reaches_nothing_that_its_network_does_not_declare(lab):
    assert lab.reached_by("box", *EVERYTHING) == EVERYTHING, "the lab itself lets all through"
    lab.apply()
    assert lab.reached_by("box", *EVERYTHING) == set()
    # Answers are no new connections.
    assert lab.reached_by("user", "10.77.1.1:8080") == {"10.77.1.1:8080"}


@pytest.mark.parametrize(
    ("egress", "reached"),
    [
        (["internet"], INTERNET),
        (["internet:80"], set()),
        (["internet:443"], INTERNET),
        (["10.77.1.0/24"], ELSEWHERE),
        (["10.77.1.2:5001"], {"10.77.1.2:5001"}),
        (["0.0.0.0/0"], INTERNET | ELSEWHERE | {"172.30.7.1:9999"}),
        (["any"], INTERNET | ELSEWHERE | {"172.30.7.1:9999"}),
        ([METADATA], set()),  # a managed port stays closed
        (["10.77.1.1:9999", "172.30.7.1"], {"172.30.7.1:9999"}),
    ],
)
def test_a_declared_destination_opens_itself_and_nothing_of_the_platform(lab, egress, reached):
    lab.apply(**from_box(egress=egress))
    assert lab.reached_by("box", *EVERYTHING) == reached
    assert lab.reached_by("data", "172.30.7.2:8000", "10.77.1.2:5000") == set()


def test_metadata_is_open_to_who_names_it_alone(lab):
    place = f"{METADATA}:9999"
    lab.apply(**from_box(egress=["any", "0.0.0.0/0"]))
    assert lab.reached_by("box", place) == set()
    lab.apply(**from_box(egress=[place]))
    assert lab.reached_by("box", place, "172.30.7.1:9999") == {place}


def test_other_hosts_of_the_platform_are_open_to_flows_alone(lab):
    closed = {"addresses": ["10.77.1.2"], "ports": [5000, 5001]}
    flow = {"service": "db", "port": 5001, "addresses": ["10.77.1.2"]}
    lab.apply(**from_box(egress=["any"], closed=closed, flows=[flow]))
    assert lab.reached_by("box", *ELSEWHERE, *INTERNET) == {"10.77.1.2:5001", *INTERNET}


def test_members_of_a_cluster_reach_their_own_host_by_its_address(lab):
    lab.apply(**from_box(here=[4000]))
    assert lab.reached_by("box", *HOST) == {"172.30.7.1:4000", "10.77.1.1:4000"}


def test_a_name_is_looked_up_and_one_that_nobody_knows_is_one_clear_message(lab):
    lab.apply(**from_box(egress=["localhost:9999", "10.77.1.2"]))
    assert "127.0.0.1" in lab.rules()
    refused = lab.module(**from_box(egress=["no-such-name.invalid:443"]))
    assert "no-such-name.invalid has no address; expected a name that this host" in refused["msg"]
    assert lab.reached_by("box", *ELSEWHERE) == ELSEWHERE, "the old rules hold"


def test_a_closed_port_is_closed_for_everybody_and_any_opens_it(lab):
    lab.apply(flows=[])
    assert lab.reached_by("user", "10.77.1.1:8080", "10.77.1.1:4000") == set()
    lab.apply(flows=[{"service": "web", "port": 8080, "sources": ["any"]}])
    assert lab.reached_by("outsider", "10.77.2.1:8080") == {"10.77.2.1:8080"}


def test_an_established_connection_survives_new_rules(lab):
    script = (
        "import socket, sys\n"
        "c = socket.create_connection(('10.77.2.1', 4000), timeout=20); c.recv(5)\n"
        "print('open', flush=True); sys.stdin.readline()\n"
        "c.send(b'x'); c.shutdown(socket.SHUT_WR)\n"
        "import struct; info = c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)\n"
        "print('alive' if info[0] != 7 else 'dead', flush=True)\n"
    )
    client = subprocess.Popen(
        ["ip", "netns", "exec", lab.prefix + "outsider", sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    lab.processes.append(client)
    assert client.stdout.readline() == "open\n"
    lab.apply()
    assert lab.reached_by("outsider", "10.77.2.1:4000") == set()
    out, _ = client.communicate("go\n", timeout=20)
    assert out == "alive\n"


def test_a_second_run_changes_nothing_and_a_changed_rule_is_put_right(lab):
    lab.apply()
    assert not lab.apply()["changed"]
    lab.run("nft", "flush", "chain", "inet", "intranet_mcp", "inbound", inside="host")
    assert lab.reached_by("outsider", "10.77.2.1:8080") == {"10.77.2.1:8080"}
    assert lab.apply()["changed"]
    assert lab.reached_by("outsider", "10.77.2.1:8080") == set()


def test_unconfirmed_rules_are_taken_back_by_the_host_itself(lab):
    lab.apply()
    before = lab.rules()
    result = lab.module(flows=[], rollback_seconds=1)
    assert result["pending"]
    assert lab.rules() != before
    deadline = time.monotonic() + 20
    while lab.rules() != before:
        assert time.monotonic() < deadline, "the timer did not restore the old rules within 20 s"
        time.sleep(0.1)  # polls the timer, which sends no event
    late = lab.module(flows=[], rollback_seconds=1, confirm=result["pending"])
    assert late["failed"]
    assert "taken back" in late["msg"]
    assert "8080" in (lab.home / "firewall.nft").read_text(), "the next boot loads the old rules"


def test_a_run_that_broke_off_is_taken_back_before_the_next_one(lab):
    first = lab.module()
    assert first["pending"]
    assert lab.apply(flows=[])["changed"]
    assert not lab.apply(flows=[])["changed"]
    assert lab.module(confirm=first["pending"])["failed"]


def test_check_mode_shows_the_rules_and_loads_nothing(lab):
    result = lab.module(_ansible_check_mode=True)
    assert result["changed"]
    assert "tcp dport 8080 ip saddr { 10.77.1.0/24 } accept" in result["diff"]["after"]
    assert "intranet_mcp" not in lab.rules()
    assert not (lab.home / "firewall.nft").exists()


def test_other_tables_stay_and_may_come_and_go(lab):
    chain = "chain INPUT { type filter hook input priority filter; policy accept;\n}"
    other = f"table ip filter {{\n{chain}\n}}\n"
    lab.run("nft", "-f", "-", inside="host", script=other)
    lab.apply()
    assert "table ip nat" in lab.rules()
    assert "chain INPUT" in lab.rules()
    # What ufw and firewalld do when they (re)load: their own tables go, and come back.
    lab.run("nft", "delete", "table", "ip", "filter", inside="host")
    assert lab.reached_by("outsider", "10.77.2.1:8080", "10.77.2.1:9999") == {"10.77.2.1:9999"}
    assert not lab.apply()["changed"]


def test_absent_takes_table_and_files_away_and_nothing_else(lab):
    before = lab.rules()
    lab.apply()
    assert lab.apply(state="absent")["changed"]
    assert lab.rules() == before
    assert list(lab.home.glob("firewall.*")) == []
    assert not lab.apply(state="absent")["changed"]


def test_the_kept_file_restores_the_rules_after_a_reboot(lab):
    lab.apply()
    loaded = lab.rules()
    lab.run("nft", "delete", "table", "inet", "intranet_mcp", inside="host")
    lab.run("nft", "-f", str(lab.home / "firewall.nft"), inside="host")
    assert lab.rules() == loaded
    assert not lab.apply()["changed"]


def test_a_bad_source_is_one_clear_message(lab):
    flows = [{"service": "web", "port": 8080, "sources": ["10.0.0.0/33"]}]
    result = lab.module(flows=flows)
    assert "source '10.0.0.0/33' of web is no address or network" in result["msg"]
    assert "intranet_mcp" not in lab.rules()


def test_a_container_is_told_at_once_that_it_may_not(lab):
    """Dropped packets would let a program in it wait for its own timeout."""
    lab.apply()
    script = "import socket; print(socket.socket().connect_ex(('{}', {})))"
    for target in (("10.77.1.2", 5000), ("172.30.7.1", 9999), (METADATA, 4000)):
        said = lab.run(sys.executable, "-c", script.format(*target), inside="box")
        assert int(said) == errno.EHOSTUNREACH, target
