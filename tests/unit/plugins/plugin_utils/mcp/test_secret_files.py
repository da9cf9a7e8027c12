# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Gateway and portal have the secrets that they need, and no others."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import secret_files

OWN = {"session_key": "own", "redis_url": None, "credentials_key": None}
STORING = {**OWN, "credentials_key": "stored"}
SERVERS = {
    "git": {"per_user": {"oauth": {"client_id": "c", "client_secret": "at-git"}}},
    "hub": {"per_user": {"exchange": {"audience": "hub"}}},
    "wiki": {"url": "https://wiki.example.internal/mcp", "headers": {"X-Key": "at-wiki"}},
}
OIDC = {"exchange": {"client_id": "gateway", "client_secret": "at-provider"}}


def test_secrets_that_nobody_needs_are_left_out():
    assert secret_files.gateway(OWN, {}, {}, {}) == {"session_key": "own"}
    assert secret_files.portal(OWN, {}) == {"session_key": "own"}


def test_an_empty_secret_is_one_that_is_needed():
    """A password that the inventory gives may be missing yet; the file has to be there."""
    assert secret_files.portal({"oidc_client_secret": ""}, {}) == {"oidc_client_secret": ""}


def test_the_gateway_has_what_it_shows_at_servers_and_at_the_provider():
    found = secret_files.gateway(STORING, SERVERS, {"tickets": "at-tickets"}, OIDC)
    shown = {"at-git", "at-provider", "at-tickets", "at-wiki"}
    assert {*found.values()} == {"own", "stored"} | shown
    assert found["exchange_client_secret"] == "at-provider"
    assert found["token-tickets"] == "at-tickets"


def test_without_an_exchange_the_providers_secret_stays_out():
    servers = {name: SERVERS[name] for name in ("git", "wiki")}
    assert "exchange_client_secret" not in secret_files.gateway(OWN, servers, {}, OIDC)


def test_the_portal_has_its_clients_secrets_where_it_stores_credentials():
    found = secret_files.portal(STORING, SERVERS)
    assert {*found.values()} == {"own", "stored", "at-git"}
    assert "at-git" not in secret_files.portal(OWN, SERVERS).values()
