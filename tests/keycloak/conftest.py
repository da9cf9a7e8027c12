# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Portal and gateway as processes, in front of a Keycloak; LiteLLM is the portal tests' own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PORTAL = TESTS.parent / "roles/portal/files/mcp_portal"
sys.path[:0] = [str(TESTS), str(PORTAL / "tests"), str(Path(__file__).parent)]

import gateway_lab  # noqa: E402
import keycloak_provider  # noqa: E402
import lab  # noqa: E402
import msgspec  # noqa: E402
import program  # noqa: E402
from mcp_portal.access_tokens import AccessTokens  # noqa: E402

PORTAL_PORT, PORT, PORT_BEHIND_PORTAL = (gateway_lab.free_port() for _each in range(3))
URL, URL_BEHIND_PORTAL = (f"http://127.0.0.1:{port}" for port in (PORT, PORT_BEHIND_PORTAL))
TABLE = [
    {"group": "/dev-payments", "team": "payments"},
    {"group": "/department/research", "team": "research"},
]
SERVER = gateway_lab.GATEWAY / "tests/servers/plain_server.py"


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory):
    """As it is delivered, with the realm of this directory."""
    folder = tmp_path_factory.mktemp("keycloak")
    callback = f"http://127.0.0.1:{PORTAL_PORT}/portal/callback"
    try:
        with keycloak_provider.keycloak(folder, f"{URL}/mcp", callback) as found:
            yield found
    except gateway_lab.Unreachable as error:
        pytest.skip(f"needs Java, Maven and Keycloak from a mirror: {error}")


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    with gateway_lab.Lab(tmp_path_factory.mktemp("programs")) as found:
        yield found


@pytest.fixture(scope="session")
def litellm():
    made = lab.FakeLitellm()
    yield made
    made.served.stop()


@pytest.fixture(scope="session")
def portal(keycloak, programs, litellm):
    """The portal's address. It is the authorization server of programs, too."""
    folder = programs.directory
    section = program.authorization(folder, resources=[f"{URL_BEHIND_PORTAL}/mcp"])
    config = lab.configuration(
        *(folder, keycloak.issuer, litellm.served.url, litellm.served.url, PORTAL_PORT),
        **section,
        oidc={"teams": TABLE, "ca_file": str(keycloak.ca)},
    )
    file = folder / "portal.yml"
    file.write_text(json.dumps(msgspec.to_builtins(config)))
    command = [sys.executable, "-m", "mcp_portal", "--config", file]
    programs.start("portal", command, PORTAL_PORT, {"PYTHONPATH": str(PORTAL / "src")})
    return config.listen.public_url


@pytest.fixture
def browser(keycloak, portal):
    """`browser()` is somebody's, at the portal."""

    def made():
        opened = lab.Browser(portal)
        opened.http = lab.httpx2.Client(timeout=60, trust_env=False, verify=keycloak.tls)
        return opened

    return made


@pytest.fixture
def sign_in(browser):
    """`sign_in(name)` returns the browser of somebody who signed in at the portal, or tried to."""

    def signed_in(name, opened=None):
        opened = opened or browser()
        there = opened.get("/portal/sign-in?next=overview").headers["location"]
        back = keycloak_provider.pass_pages(opened.http, there, name)
        opened.arrived = opened.http.get(back)
        return opened

    return signed_in


@pytest.fixture(scope="session")
def start_gateway(keycloak, programs):
    """`start_gateway(**options)` starts one that takes Keycloak's tokens.

    It returns the program, and its address.
    """

    def start(port=None, own=None, **options):
        port = port or gateway_lab.free_port()
        url = f"http://127.0.0.1:{port}"
        company = {
            "issuer": keycloak.issuer,
            "audience": [f"{url}/mcp"],
            "ca_file": str(keycloak.ca),
            "teams": TABLE,
            "timeout_seconds": 30,
            **options,
        }
        everybody = {"name": "all", "teams": ["payments", "research"]}
        stdio = {"type": "stdio", "command": sys.executable, "args": ["-S", str(SERVER)]}
        configuration = {
            "listen": {"port": port, "public_url": url},
            "auth": {"oidc": [company, *([own] if own else [])]},
            "policy": {
                "default": "deny",
                "rules": [everybody],
            },
            "audit": {"file": str(programs.directory / f"audit-{port}")},
            "upstreams": {"files": {**stdio, "required": True}},
        }
        return programs.gateway(configuration, f"gateway-{port}", seconds=120), url

    return start


@pytest.fixture(scope="session")
def url(start_gateway):
    """The address of a gateway as the guide has it."""
    return start_gateway(PORT, required_scopes=["mcp"])[1]


@pytest.fixture(scope="session")
def url_behind_portal(start_gateway, portal):
    """The address of a gateway with `registration: portal`."""
    issuer = f"{portal}/portal"
    own = {
        "issuer": issuer,
        "audience": [f"{URL_BEHIND_PORTAL}/mcp"],
        "jwks": AccessTokens(program.SIGNING_SECRET, issuer).published()["keys"],
        "algorithms": ["ES256"],
        "subjects_are_people": True,
    }
    return start_gateway(PORT_BEHIND_PORTAL, own, announced=False)[1]


@pytest.fixture
def gateway(start_gateway, programs):
    """`gateway(**options)` returns the address of one that is set otherwise."""
    started = []

    def start(**options):
        running, url = start_gateway(**options)
        started.append(running)
        return url

    yield start
    for running in started:
        programs.stop(running)
