# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From an inventory with `portal`: a person signs in, and real CLIs work with no key typed.

The roles deploy everything, behind a balancer. That and the provider, which is a real one, have a
certificate of the company's authority, which the person's machine knows. The person signs in with
Chromium, and copies the one line into a terminal.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

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
    run,
)
from test_bundles import CHECKSUM, COMMANDS, EXPECTED, PROJECT, tools_by_server

NAME = "ai.example.internal"
RECHECK_SECONDS = 60
# A check, and what the platform takes to end everything.
REFUSED_SECONDS = RECHECK_SECONDS + 30
CHECK = f"{HOME}/.config/intranet-mcp/bundle/check.sh"
AUTHORITY = "/etc/ssl/certs/ca-certificates.crt"
TEAM = {"name": "payments", "models": [MODEL]}


class SignedOn(Platform):
    """... with a portal behind a balancer; nobody has a key."""

    letter = "p"
    groups = (*Platform.groups, "redis", "portal", "load_balancer")
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
            "load_balancer_tls_certificate": str(self.company.certificate),
            "load_balancer_tls_key": str(self.company.key),
            "portal_recheck_minutes": RECHECK_SECONDS / 60,
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
    company = identity_provider.company(tmp_path_factory.mktemp("company"), switch.address, NAME)
    made = SignedOn(tmp_path_factory.mktemp("signed-on"), switch, port, company)
    folder, callback = tmp_path_factory.mktemp("provider"), f"{made.public}/portal/callback"
    try:
        with identity_provider.identity_provider(
            folder, [callback], port, switch.address, company, REFRESH_TOKENS="1"
        ) as provider:
            made.up()
            made.provider = provider
            yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def person(signed_on, tmp_path_factory):
    """`person(name)` signs in, looks around and returns what was seen, with the one line."""
    file = tmp_path_factory.mktemp("person") / "settings.tar.gz"

    def visit(name):
        portal = f"{signed_on.public}/portal/"
        return identity_provider.sign_in(portal, name, file, address=signed_on.switch.address)

    return visit


def give_curl(machine, folder):
    """Put this host's curl onto a machine, whose image has none."""
    program = shutil.which("curl")
    assert program, "curl was not found on PATH; install the package curl"
    said = run("ldd", program).stdout
    needed = [Path(path) for path in re.findall(r"=> (/\S+)", said)]
    own = re.compile(r"lib(c|m|dl|pthread|rt|resolv)\.so")
    for path in [Path(program), *(path for path in needed if not own.match(path.name))]:
        shutil.copy(path, folder / path.name)
    machine.give(folder, "/opt/curl")
    machine.run("chmod", "-R", "a+rX", "/opt/curl")
    script = '#!/bin/sh\nLD_LIBRARY_PATH=/opt/curl exec /opt/curl/curl "$@"\n'
    machine.run(
        "sh", "-c", 'printf "%s" "$1" >/usr/bin/curl; chmod 755 /usr/bin/curl', "sh", script
    )


@pytest.fixture(scope="module")
def alice(person, signed_on, switch, cli_modules, tmp_path_factory):
    """Run commands as alice, whose machine got its settings by the portal's one line."""
    seen = person("alice")
    assert seen["complaints"] == []
    pages = dict.fromkeys(("overview", "connect", "models", "tools", "usage", "status"), 200)
    assert seen["seen"] == pages, seen
    volume = f"--volume={cli_modules}:/opt/cli/node_modules:ro"
    machine = Machine("desk", switch, volume)
    try:
        machine.run("sh", "-c", f"echo {switch.address} {NAME} >>/etc/hosts")
        machine.run("useradd", "--create-home", "alice")
        machine.give(signed_on.company.ca, "/usr/local/share/ca-certificates/company.crt")
        machine.run("update-ca-certificates")
        give_curl(machine, tmp_path_factory.mktemp("curl"))

        def runner(*command, **options):
            bins = "/opt/cli/node_modules/.bin"
            # What a company sets on its machines, since Node.js looks nowhere else.
            options["NODE_EXTRA_CA_CERTS"] = AUTHORITY
            return as_user(machine, signed_on, bins, *command, **options)

        runner("mkdir", "project")
        runner("sh", "-c", seen["line"])
        runner("test", "-x", CHECK)
        used = runner("sh", "-c", seen["line"], check=False)
        assert "404" in used.stderr, used.stdout + used.stderr
        yield runner
    finally:
        machine.close()


def test_everything_answers_the_person_who_signed_in(alice):
    said = alice(CHECK, check=False, timeout=300).stdout
    assert "FAILED" not in said and said.count("  ok ") == 4 + 2 * len(COMMANDS), said


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


def test_who_leaves_the_group_is_refused_within_a_check(alice, person, signed_on):
    signed_on.provider.change("alice", groups=["staff"])
    # A new sign-in would do it at once: nobody signs in.
    left_at = time.monotonic()

    def works():
        began_at = time.monotonic()
        done = alice("codex", "exec", "--skip-git-repo-check", "hi", cwd=PROJECT, check=False,
                     timeout=300)  # fmt: skip
        assert done.returncode or began_at < left_at + REFUSED_SECONDS, "the key still works"
        return not done.returncode

    while works():
        time.sleep(5)  # nobody tells a CLI when its key ends
    said = alice(CHECK, check=False, timeout=300).stdout
    assert re.search(r"does not accept your key", said), said
    assert person("alice")["seen"] == {}, "a new sign-in opens nothing"
