# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The gateway takes Keycloak's access tokens for itself, and no other ones."""

from __future__ import annotations

import time

import pytest
from keycloak_provider import PASSWORD, TERMINAL
from mcp_person import ask, claims

OTHER = "https://other.example.internal"
# As it is set where nobody says otherwise.
LEEWAY_SECONDS = 30


@pytest.fixture
def granted(keycloak):
    """`granted(name, **asked)` returns what Keycloak grants somebody's terminal."""

    def answer(name, client=TERMINAL, **asked):
        asked = {"scope": "openid mcp", "username": name, "password": PASSWORD, **asked}
        tokens = keycloak.token(client, grant_type="password", **asked)
        assert "access_token" in tokens, tokens
        return tokens

    return answer


def wait_for_refusal(url, token, seconds):
    """Return how a token is refused once it is no more taken."""
    ends_at = time.monotonic() + seconds
    while (answer := ask(url, token)).is_success:
        assert time.monotonic() < ends_at, f"still taken after {seconds} s"
        time.sleep(1)  # a token tells nobody when it ends
    return answer


def test_token_for_the_gateway_is_taken(url, granted):
    for name in ("alice", "carol"):
        token = granted(name)["access_token"]
        assert ask(url, token).status_code == 200
    told = claims(token)
    assert told["azp"] == TERMINAL and told["groups"] == ["/department/research"]


def test_audience_may_be_one_of_a_list(url, granted, keycloak):
    with keycloak.another_audience(OTHER):
        token = granted("alice")["access_token"]
    assert set(claims(token)["aud"]) == {f"{url}/mcp", OTHER}
    assert ask(url, token).status_code == 200


def test_token_for_something_else_is_refused(url, gateway, granted):
    tokens = granted("alice")
    without_scope = granted("alice", scope="openid")["access_token"]
    for token in (without_scope, tokens["id_token"], tokens["refresh_token"]):
        assert ask(url, token).status_code == 401
    elsewhere = gateway()
    assert ask(elsewhere, tokens["access_token"]).status_code == 401, "of another gateway"


def test_scope_that_is_asked_for_has_to_be_there(url, gateway, granted):
    stricter = gateway(required_scopes=["another"], audience=[f"{url}/mcp"])
    assert ask(stricter, granted("alice")["access_token"]).status_code == 401


@pytest.mark.parametrize("name", ["bob", "erin"])
def test_person_whose_group_is_not_in_the_table_is_told_so(url, granted, name):
    refused = ask(url, granted(name)["access_token"])
    assert refused.status_code == 403 and "none of your groups" in refused.text


def test_groups_without_their_path_are_one_group(keycloak, granted):
    with keycloak.groups_without_path():
        alice, erin = (claims(granted(name)["access_token"]) for name in ("alice", "erin"))
    assert set(erin["groups"]) < set(alice["groups"]), "why the guide has paths in the table"


def test_person_out_of_the_group_is_refused_when_the_token_ends(url, granted, keycloak):
    seconds = 5
    with keycloak.lifespan(TERMINAL, seconds):
        tokens = granted("alice")
        began = time.monotonic()
        assert ask(url, tokens["access_token"]).status_code == 200
        keycloak.move("alice", "dev-payments", "DELETE")
        try:
            late = wait_for_refusal(url, tokens["access_token"], seconds + LEEWAY_SECONDS + 10)
            assert late.status_code == 401, "it has expired"
            assert time.monotonic() - began > seconds, "it was not refused before"
            renewed = keycloak.token(
                TERMINAL, grant_type="refresh_token", refresh_token=tokens["refresh_token"]
            )
            refused = ask(url, renewed["access_token"])
        finally:
            keycloak.move("alice", "dev-payments", "PUT")
    assert refused.status_code == 403 and "none of your groups" in refused.text


def test_key_that_was_rotated_out_signs_nothing_more(url, gateway, granted, keycloak):
    url = gateway(jwks_cache_seconds=5, audience=[f"{url}/mcp"])
    old = granted("alice")["access_token"]
    assert ask(url, old).status_code == 200
    keycloak.rotate_keys()
    assert ask(url, granted("alice")["access_token"]).status_code == 200, "the new key is found"
    assert wait_for_refusal(url, old, 60).status_code == 401


def test_token_of_nobody_is_refused(url, granted, keycloak):
    """Who is in none of the scope `basic`: everybody would be the same person."""
    with keycloak.without_scope(TERMINAL, "basic"):
        token = granted("alice")["access_token"]
    assert "sub" not in claims(token)
    assert ask(url, token).status_code == 401
