# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The hosts as their own root sees them, and the one address as people see it."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import time
from pathlib import Path

import yaml

SCENARIO = Path(__file__).resolve().parent
INVENTORY = SCENARIO / "inventory"
LB, APP1, APP2, DATA = (f"molecule-std-{name}" for name in ("lb1", "app1", "app2", "data1"))
BALANCER_RUN = "/var/lib/intranet-mcp/load_balancer/run"
PROBE = """
import json, socket, sys
def answers(port):
    try:
        with socket.create_connection((sys.argv[1], port), timeout=1.5):
            return True
    except OSError:
        return False
print(json.dumps([port for port in map(int, sys.argv[2:]) if answers(port)]))
"""


def addresses():
    """Return the hosts' addresses, by name."""
    hosts = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["hosts"]
    return {name: variables["platform_address"] for name, variables in hosts.items()}


def molecule_network():
    """Return the network of the hosts: name, subnet, gateway (where Molecule runs)."""
    return yaml.safe_load((INVENTORY / "group_vars/all/main.yml").read_text())["molecule_network"]


def on(host, command, check=True, stdin=""):
    """Run a shell command as root of a host and return what it prints."""
    done = subprocess.run(
        ["docker", "exec", "--interactive", host, "sh", "-c", command],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, f"{host}: {command}: {done.stderr}"
    return done.stdout.strip()


def reached(source, target, ports):
    """Return the ports of a host, among these, that answer another host."""
    listed = " ".join(map(str, sorted(ports)))
    return set(json.loads(on(source, f"python3 -c '{PROBE}' {addresses()[target]} {listed}")))


def wait_until(condition, seconds, what):
    """Wait for a bounded time."""
    ends_at = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends_at, f"waited {seconds} s in vain for {what}"
        time.sleep(0.25)
    return found


def server_states(balancer=LB):
    """Return what a balancer thinks of each server: (backend, host) -> status."""
    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); "
        f"s.connect('{BALANCER_RUN}/admin.sock'); s.sendall(b'show stat -1 4 -1\\n'); "
        "print(s.makefile().read())"
    )
    rows = on(balancer, f'python3 -c "{program}"').splitlines()
    head = rows[0].lstrip("# ").split(",")
    found = [dict(zip(head, row.split(","), strict=False)) for row in rows[1:] if row]
    return {(row["pxname"], row["svname"]): row["status"] for row in found}


def all_are_up(balancer=LB):
    """Tell whether every server of the balancer gets requests."""
    return set(server_states(balancer).values()) == {"UP"}


class Answer:
    """Status, headers and body of an answer; events of a stream decoded."""

    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.text = response.read().decode()

    @property
    def body(self):
        """Return the body as JSON; of an event stream its last message."""
        if "event-stream" in (self.headers.get("Content-Type") or ""):
            data = [line[5:] for line in self.text.splitlines() if line.startswith("data:")]
            return json.loads(data[-1])
        return json.loads(self.text)


class Client:
    """The balancer's address for people, over TLS that is verified."""

    def __init__(self, key="", address=""):
        self.address, self.key = address or addresses()[LB], key
        self.tls = ssl.create_default_context(cafile=INVENTORY / ".intranet-mcp/secrets/tls/ca.crt")

    def connect(self, timeout=60):
        """Return a connection of its own."""
        return http.client.HTTPSConnection(self.address, context=self.tls, timeout=timeout)

    def send(self, path, body=None, key=None, method=None, timeout=60, **headers):
        """Send one request and return the whole answer."""
        connection = self.connect(timeout)
        try:
            connection.request(
                method or ("GET" if body is None else "POST"),
                path,
                None if body is None else json.dumps(body),
                self.headers(key, headers),
            )
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def headers(self, key, more):
        """Return the headers of a JSON request."""
        key = self.key if key is None else key
        found = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if key:
            found["Authorization"] = f"Bearer {key}"
        return {**found, **{name.replace("_", "-"): value for name, value in more.items()}}
