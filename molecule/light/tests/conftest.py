# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The host as an outsider sees it, and as its own root sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import testinfra

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))  # mcp_messages.py

import support

support.make_collection_importable()

NAME = "molecule-light"
INVENTORY = Path(__file__).resolve().parents[1] / "inventory"


@pytest.fixture(scope="session")
def host():
    """Return the host, with root's eyes."""
    return testinfra.get_host(f"docker://{NAME}")


@pytest.fixture(scope="session")
def address():
    """Return the host's address in the network it shares with this machine."""
    answer = subprocess.run(["docker", "inspect", NAME], capture_output=True, check=True)
    (container,) = json.loads(answer.stdout)
    return next(iter(container["NetworkSettings"]["Networks"].values()))["IPAddress"]


@pytest.fixture(scope="session")
def containers(host):
    """Return what the host's engine says of the platform's containers, by service."""
    names = host.check_output("docker ps --all --quiet --filter label=intranet.mcp.owner").split()
    inspected = json.loads(host.check_output(f"docker inspect {' '.join(names)}"))
    return {c["Config"]["Labels"]["intranet.mcp.service"]: c for c in inspected}


@pytest.fixture(scope="session")
def secrets():
    """Return the secrets that the control node keeps for this inventory, by name."""
    files = [path for path in (INVENTORY / ".intranet-mcp/secrets").iterdir() if path.is_file()]
    return {path.name: path.read_text().strip() for path in files}


class Answer:
    """Status, headers and parsed body of an HTTP answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        text = response.read().decode()
        if "event-stream" in (self.headers.get("Content-Type") or ""):
            data = [line[5:] for line in text.splitlines() if line.startswith("data:")]
            text = data[-1] if data else ""
        try:
            self.body = json.loads(text)
        except ValueError:
            self.body = text


@pytest.fixture(scope="session")
def call(address):
    """Return a function that sends a request from outside and returns the answer."""

    def send(port, path, body=None, key=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(
            f"http://{address}:{port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=180) as response:
                return Answer(response)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error)

    return send
