# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From an inventory with `portal`: a person signs in, and real CLIs work with no key typed.

The roles deploy everything, behind a balancer with TLS of the platform's own authority. The
provider is a real one, with TLS of a company's authority. The person uses Chromium.
"""

from __future__ import annotations

import re
import shutil
import time

import gateway_lab
import identity_provider
import pytest
from client_machines import (
    HOME,
    MODEL,
    Machine,
    Platform,
    as_user,
    image,
)
from test_bundles import CHECKSUM, COMMANDS, EXPECTED, PROJECT, tools_by_server

NAME = "ai.example.internal"
# Long enough for five CLIs, and not for whoever waits until it is over.
LIFETIME_MINUTES = 8
TEAM = {"name": "payments", "models": [MODEL]}


class SignedOn(Platform):
    """... with a portal behind a balancer; nobody has a key."""

    letter = "p"
    groups = (*Platform.groups, "redis", "portal", "load_balancer")
    # The balancer makes the authority, whose certificate the portal hands out.
    roles = ("postgres", "redis", *Platform.roles[1:], "load_balancer", "portal")

    def __init__(self, folder, switch, provider_port, company):
        self.issuer = f"https://{switch.address}:{provider_port}"
        self.company = company
        self.public = f"https://{NAME}:{gateway_lab.free_port()}"
        super().__init__(folder, switch)

    @property
    def reached_by(self):
        """Names and addresses that lead to it, as NO_PROXY lists them."""
        return f"{self.switch.address},{NAME}"

    def variables(self):
        """Return what the inventory says of everything."""
        ports = {
            f"platform_{name}_port": gateway_lab.free_port()
            for name in (
                *("portal", "balancer_redirect", "balancer_inside", "balancer_metrics"),
                *("redis", "postgres"),
            )
        }
        return {
            **super().variables(),
            **ports,
            "platform_balancer_port": int(self.public.rpartition(":")[2]),
            "platform_public_name": NAME,
            "portal_lifetime_hours": LIFETIME_MINUTES / 60,
            "teams": [TEAM],
            "platform_oidc": {
                "issuer": self.issuer,
                "client_id": identity_provider.CLIENT_ID,
                "client_secret": identity_provider.CLIENT_SECRET,
                "ca_file": str(self.company.ca),
                "teams": [{"group": "dev-payments", "team": "payments"}],
            },
        }


@pytest.fixture(scope="module")
def signed_on(switch, tmp_path_factory):
    """The platform, and its provider."""
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium")
    for name in ("postgres", "redis", "ollama", "litellm", "gateway", "portal", "haproxy"):
        image(name)
    port = gateway_lab.free_port()
    company = identity_provider.company(tmp_path_factory.mktemp("company"), switch.address)
    made = SignedOn(tmp_path_factory.mktemp("signed-on"), switch, port, company)
    folder, callback = tmp_path_factory.mktemp("provider"), f"{made.public}/portal/callback"
    try:
        with identity_provider.identity_provider(
            folder, [callback], port, switch.address, company
        ) as provider:
            made.up()
            made.provider = provider
            yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def person(signed_on, tmp_path_factory):
    """`person(name)` signs in, looks around and returns what was seen, and the settings' file."""
    file = tmp_path_factory.mktemp("person") / "settings.tar.gz"

    def visit(name):
        file.unlink(missing_ok=True)
        portal = f"{signed_on.public}/portal/"
        seen = identity_provider.sign_in(portal, name, file, address=signed_on.switch.address)
        return seen, file

    return visit


@pytest.fixture(scope="module")
def alice(person, signed_on, switch, cli_modules):
    """Run commands as alice, whose machine got its settings from the portal's page alone."""
    seen, file = person("alice")
    assert seen["complaints"] == []
    pages = dict.fromkeys(("overview", "connect", "models", "tools", "usage"), 200)
    assert seen["seen"] == pages, seen
    volume = f"--volume={cli_modules}:/opt/cli/node_modules:ro"
    machine = Machine("desk", switch, volume)
    try:
        machine.run("sh", "-c", f"echo {switch.address} {NAME} >>/etc/hosts")
        machine.run("useradd", "--create-home", "alice")
        machine.give(file, f"{HOME}/settings.tar.gz")
        machine.run("chown", "alice", f"{HOME}/settings.tar.gz")

        def runner(*command, **options):
            bins = "/opt/cli/node_modules/.bin"
            # The image that this machine is made of sets it; a person's does not.
            options["NODE_EXTRA_CA_CERTS"] = ""
            return as_user(machine, signed_on, bins, *command, **options)

        runner("tar", "xzf", "settings.tar.gz")
        runner("mkdir", "project")
        runner("intranet-mcp/install.sh")
        yield runner
    finally:
        machine.close()


def test_everything_answers_the_person_who_signed_in(alice):
    said = alice("intranet-mcp/check.sh", check=False, timeout=300).stdout
    assert "FAILED" not in said and said.count("  ok ") == 5 + 2 * len(COMMANDS), said


@pytest.mark.parametrize("cli", COMMANDS)
def test_a_cli_works_with_no_key_typed(alice, signed_on, cli):
    signed_on.model.reset()
    since = time.time()
    done = alice(*COMMANDS[cli], cwd=PROJECT, check=False, timeout=400)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert tools_by_server(signed_on.model.offers[-1]) == EXPECTED, output
    assert CHECKSUM in output
    ((caller, *call),) = signed_on.audited_calls(since)
    assert call == ["example", "checksum", "ok"] and caller.startswith("sso-"), caller


def test_who_leaves_the_group_is_refused_within_the_lifetime(alice, person, signed_on):
    signed_on.provider.change("alice", groups=["staff"])
    seen, _file = person("alice")
    assert seen["seen"] == {}, "a new sign-in opens nothing"
    ends_at = time.monotonic() + LIFETIME_MINUTES * 60 + 120
    while alice("codex", "exec", "--skip-git-repo-check", "hi", cwd=PROJECT, check=False,
                timeout=120).returncode == 0:  # fmt: skip
        assert time.monotonic() < ends_at, "the key still works"
        time.sleep(15)  # LiteLLM tells nobody when a key ends
    said = alice("intranet-mcp/check.sh", check=False, timeout=300).stdout
    assert re.search(r"does not accept your key", said), said
