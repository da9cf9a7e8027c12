# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Two portals: one that dies during a sign-in is not missed, who leaves the company's group is
refused soon, and doctor names what is broken. Sessions are in Redis."""

from __future__ import annotations

import contextlib
import signal
import tarfile

import gateway_lab
import identity_provider
import pytest
from actions import CHANGED, doctor, site, stopped, wait_until_healthy, wait_until_whole
from hosts import (
    APP1,
    APP2,
    DATA,
    LB,
    SCENARIO,
    Client,
    addresses,
    molecule_network,
    on,
    wait_until,
)

OVERLAY = ("-i", SCENARIO / "signed_on")
PORTAL = "intranet-portal"
PAGES = dict.fromkeys(("overview", "connect", "models", "tools", "usage", "status"), 200)
RECHECK_SECONDS = 60
# The other LiteLLM may go on with a key that it knows for a minute after it was revoked.
REFUSED_SECONDS = RECHECK_SECONDS + 60 + 30


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """Return the portal's address and the company's provider; both replicas are up."""
    address, port = molecule_network()["gateway"], gateway_lab.free_port()
    authority = identity_provider.company(tmp_path_factory.mktemp("company"), address)
    public = f"https://{addresses()[LB]}/portal/"
    oidc = {
        "issuer": f"https://{address}:{port}",
        "client_id": identity_provider.CLIENT_ID,
        "client_secret": identity_provider.CLIENT_SECRET,
        "ca_file": str(authority.ca),
        "teams": [{"group": "dev-payments", "team": "payments"}],
    }
    teams = [{"name": "payments", "models": ["scripted"]}]
    folder, callbacks = tmp_path_factory.mktemp("provider"), [f"{public}callback"]
    signed_on = {"teams": teams, "platform_oidc": oidc}
    with identity_provider.identity_provider(
        folder, callbacks, port, address, authority, REFRESH_TOKENS="1"
    ) as provider:
        variables = {**CHANGED, **signed_on, "portal_recheck_minutes": RECHECK_SECONDS / 60}
        site(*OVERLAY, **variables)
        wait_until_whole()
        yield public, provider, variables
    site(**CHANGED)
    for host in (APP1, APP2):
        assert on(host, f"docker ps --all --quiet --filter name={PORTAL}") == ""


# One of the two began the sign-in.
@pytest.mark.parametrize("host", [APP1, APP2])
def test_a_portal_that_dies_during_a_sign_in_is_not_missed(company, tmp_path, host):
    portal, _provider, _variables = company

    def die():
        on(host, f"docker kill {PORTAL}")  # stays dead, unlike one that crashes

    try:
        seen = identity_provider.sign_in(portal, "alice", tmp_path / "settings.tar.gz", die)
    finally:
        on(host, f"docker start {PORTAL}")
        wait_until_healthy(host, PORTAL)
    assert seen["seen"] == PAGES, seen
    assert seen["complaints"] == []
    assert (tmp_path / "settings.tar.gz").stat().st_size


def test_who_leaves_the_group_is_refused_soon(company, tmp_path):
    portal, provider, _variables = company
    settings = tmp_path / "settings.tar.gz"
    identity_provider.sign_in(portal, "alice", settings)
    with tarfile.open(settings) as archive:
        (file,) = [n for n in archive.getnames() if n.endswith("/.config/intranet-mcp/key")]
        key = archive.extractfile(file).read().decode().strip()
    client = Client(key)
    assert client.send("/v1/models").status == 200
    provider.change("alice", groups=["staff"])

    def is_refused():
        """At both replicas, between which the balancer chooses."""
        return all(client.send("/v1/models").status in (401, 403) for _try in range(6))

    wait_until(is_refused, REFUSED_SECONDS, "the key's end")


@contextlib.contextmanager
def another_secret(host, name):
    """Give a portal another secret than the one that it is known by, as after a rotation there."""
    mounts = '{{range .Mounts}}{{if eq .Destination "/secrets"}}{{.Source}}{{end}}{{end}}'
    file = on(host, f"docker inspect --format '{mounts}' {PORTAL}") + f"/{name}"
    right = on(host, f"cat {file}")

    def have(secret):
        on(host, f"cat > {file} && docker restart {PORTAL}", stdin=secret)
        wait_until_healthy(host, PORTAL)

    have("sk-another")
    try:
        yield
    finally:
        have(right)


@contextlib.contextmanager
def frozen(program):
    """Let a program accept connections and answer nobody."""
    program.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        program.process.send_signal(signal.SIGCONT)


def test_doctor_names_each_broken_piece(company):
    _portal, provider, variables = company

    def found():
        """Return what keeps people from signing in: host and sentence."""
        findings = doctor(*OVERLAY, **variables)
        told = [(f["host"], f["found"]) for f in findings if f["check"] == "sign-on"]
        print(*told, sep="\n")
        return told

    def hosts(findings, words):
        return {host for host, sentence in findings if words in sentence}

    assert found() == []
    with (
        another_secret(APP1, "oidc_client_secret"),
        another_secret(APP2, "litellm_key"),
        stopped((DATA, "intranet-redis")),
    ):
        several = found()
    assert hosts(several, "refuses this page") == {APP1}, several
    assert hosts(several, "(LiteLLM) refused this") == {APP2}, several
    assert hosts(several, "Sessions cannot be read") == {APP1, APP2}, several
    assert len(several) == 4, several
    with frozen(provider.program):
        silent = found()
    assert hosts(silent, f"{provider.issuer} does not answer") == {APP1, APP2}, silent
    assert len(silent) == 2, silent
    assert found() == []
