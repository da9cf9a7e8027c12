# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A person who signs in when a portal dies goes on at the other: sessions are in Redis."""

from __future__ import annotations

import gateway_lab
import identity_provider
import pytest
from actions import CHANGED, site, wait_until_healthy, wait_until_whole
from hosts import APP1, APP2, LB, SCENARIO, addresses, molecule_network, on

OVERLAY = ("-i", SCENARIO / "signed_on")
PORTAL = "intranet-portal"
PAGES = dict.fromkeys(("overview", "connect", "models", "tools", "usage", "status"), 200)


@pytest.fixture(scope="module")
def portal(tmp_path_factory):
    """Return the portal's address; both replicas are up."""
    address, port = molecule_network()["gateway"], gateway_lab.free_port()
    company = identity_provider.company(tmp_path_factory.mktemp("company"), address)
    public = f"https://{addresses()[LB]}/portal/"
    oidc = {
        "issuer": f"https://{address}:{port}",
        "client_id": identity_provider.CLIENT_ID,
        "client_secret": identity_provider.CLIENT_SECRET,
        "ca_file": str(company.ca),
        "teams": [{"group": "dev-payments", "team": "payments"}],
    }
    teams = [{"name": "payments", "models": ["scripted"]}]
    provider = identity_provider.identity_provider(
        tmp_path_factory.mktemp("provider"), [f"{public}callback"], port, address, company
    )
    with provider:
        site(*OVERLAY, **CHANGED, teams=teams, platform_oidc=oidc)
        wait_until_whole()
        yield public
    site(**CHANGED)
    for host in (APP1, APP2):
        assert on(host, f"docker ps --all --quiet --filter name={PORTAL}") == ""


# One of the two began the sign-in.
@pytest.mark.parametrize("host", [APP1, APP2])
def test_a_portal_that_dies_during_a_sign_in_is_not_missed(portal, tmp_path, host):
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
