# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The official SDK's client signs its person in at Keycloak, and at the portal in front of it."""

from __future__ import annotations

import keycloak_provider
import program
import pytest
from mcp.client.auth import OAuthRegistrationError
from mcp_person import Person, ask, claims


@pytest.fixture
def at_keycloak(keycloak, browser):
    """`at_keycloak(name)` is somebody at a program that signs them in there."""

    def made(name):
        http = browser().http
        return Person(
            keycloak.tls, lambda address: keycloak_provider.pass_pages(http, address, name)
        )

    return made


@pytest.fixture
def at_portal(keycloak, browser, sign_in):
    """`at_portal(name)` is somebody at a program that the portal signs in."""

    def made(name, opened=None):
        opened = opened or browser()

        def allow(address):
            shown = opened.http.get(address)
            if shown.is_redirect:
                there = opened.get(shown.headers["location"]).headers["location"]
                back = keycloak_provider.pass_pages(opened.http, there, name)
                opened.arrived = opened.http.get(back)
                assert opened.arrived.status_code == 303, opened.arrived.text
                shown = opened.get(opened.arrived.headers["location"])
            return program.click(opened, shown, "allow").headers["location"]

        return Person(keycloak.tls, allow)

    return made


@pytest.fixture
def trusted(keycloak):
    """What an administrator allows, so that programs register themselves."""
    keycloak.let_programs_register()
    yield
    keycloak.let_programs_register(False)


def test_as_it_is_delivered_it_registers_nobody(url, at_keycloak):
    refused = at_keycloak("alice").refusal(f"{url}/mcp", OAuthRegistrationError)
    assert "403" in refused and "Trusted Hosts" in refused


def test_client_that_is_told_no_scope_registers_for_all_and_is_refused(
    gateway, at_keycloak, trusted
):
    """Why the guide has `tool_scopes`."""
    refused = at_keycloak("alice").refusal(f"{gateway()}/mcp", OAuthRegistrationError)
    assert "403" in refused and "Allowed Client Scopes" in refused


def test_client_registers_signs_in_and_lists_tools(url, at_keycloak, trusted):
    alice = at_keycloak("alice")
    assert alice.tools(f"{url}/mcp")
    assert alice.asked["code_challenge_method"] == "S256"
    assert alice.asked["resource"] == f"{url}/mcp" and "mcp" in alice.asked["scope"].split()
    told = claims(alice.storage.tokens.access_token)
    assert told["azp"] == alice.storage.client.client_id, "it registered itself"
    assert told["aud"] == f"{url}/mcp", "by the scope's mapper"
    # Who registers with a scope has none of those that others have, as `profile`, but `basic`.
    assert "profile" not in told["scope"].split() and told["preferred_username"] == "alice"


def test_resource_of_the_request_changes_nothing(url, gateway, at_keycloak, trusted):
    other, alice = gateway(required_scopes=["mcp"]), at_keycloak("alice")
    alice.refusal(f"{other}/mcp")
    assert alice.asked["resource"] == f"{other}/mcp"
    token = alice.storage.tokens.access_token
    assert claims(token)["aud"] == f"{url}/mcp", "as the mapper says"
    assert ask(other, token).status_code == 401 and ask(url, token).status_code == 200


def test_person_without_a_group_signs_in_and_is_refused(url, at_keycloak, trusted):
    bob = at_keycloak("bob")
    bob.refusal(f"{url}/mcp")
    refused = ask(url, bob.storage.tokens.access_token)
    assert refused.status_code == 403 and "none of your groups" in refused.text


def test_portal_registers_programs_where_keycloak_does_not(url_behind_portal, at_portal, portal):
    alice = at_portal("alice")
    assert alice.tools(f"{url_behind_portal}/mcp")
    told = claims(alice.storage.tokens.access_token)
    assert told["iss"] == f"{portal}/portal" and told["aud"] == f"{url_behind_portal}/mcp"


def test_person_out_of_the_group_gets_no_token_of_the_portal(
    url_behind_portal, at_portal, browser, sign_in, keycloak
):
    opened = browser()
    alice = at_portal("alice", opened)
    alice.tools(f"{url_behind_portal}/mcp")
    renewed = renew(opened, alice)
    assert renewed.status_code == 200, renewed.text
    keycloak.move("alice", "dev-payments", "DELETE")
    try:
        assert sign_in("alice").arrived.status_code == 403, "in another browser"
        assert renew(opened, alice, renewed.json()["refresh_token"]).status_code == 400
        again = opened.get("/portal/overview")
        assert again.status_code == 200, "as the guide says: the session goes on"
    finally:
        keycloak.move("alice", "dev-payments", "PUT")


def renew(browser, person, token=""):
    """Ask for another token, as the client does."""
    asked = {
        "grant_type": "refresh_token",
        "refresh_token": token or person.storage.tokens.refresh_token,
        "client_id": person.storage.client.client_id,
    }
    return browser.http.post(f"{browser.base}/portal/oauth/token", data=asked)
