# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Two portals: one that dies during a sign-in is not missed, and who leaves the company's group is
refused soon. Sessions are in Redis."""

from __future__ import annotations

import tarfile

import gateway_lab
import identity_provider
import pytest
from actions import CHANGED, site, wait_until_healthy, wait_until_whole
from hosts import APP1, APP2, LB, SCENARIO, Client, addresses, molecule_network, on, wait_until

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
        site(*OVERLAY, **CHANGED, **signed_on, portal_recheck_minutes=RECHECK_SECONDS / 60)
        wait_until_whole()
        yield public, provider
    site(**CHANGED)
    for host in (APP1, APP2):
        assert on(host, f"docker ps --all --quiet --filter name={PORTAL}") == ""


# One of the two began the sign-in.
@pytest.mark.parametrize("host", [APP1, APP2])
def test_a_portal_that_dies_during_a_sign_in_is_not_missed(company, tmp_path, host):
    portal, _provider = company

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
    portal, provider = company
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
