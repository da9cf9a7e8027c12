# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""People sign in at the portal with Keycloak, whose groups are paths in a tree."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(("name", "team"), [("alice", "payments"), ("carol", "research")])
def test_group_of_the_tree_is_a_team(sign_in, name, team):
    person = sign_in(name)
    assert person.arrived.headers["location"] == "/portal/overview", person.arrived.text
    overview = person.get("/portal/overview").text
    assert f"Hello, {name}" in overview and team in overview


def test_person_without_a_group_is_told_so_by_the_portal(sign_in):
    """Keycloak leaves the claim out, as without the mapper: the page tells of both causes."""
    bob = sign_in("bob")
    assert bob.arrived.status_code == 403
    assert "Ask the administrators to add you to a group" in " ".join(bob.arrived.text.split())
    assert bob.get("/portal/overview").status_code == 303, "not signed in"


def test_group_of_the_same_name_elsewhere_in_the_tree_is_another_one(sign_in):
    erin = sign_in("erin")
    assert erin.arrived.status_code == 403
    assert "None of your groups may use this platform" in erin.arrived.text


def test_person_who_left_the_group_is_refused_at_the_next_sign_in(keycloak, sign_in):
    alice = sign_in("alice")
    keycloak.move("alice", "dev-payments", "DELETE")
    try:
        # Keycloak asks nobody for a password who has a session there.
        again = sign_in("alice", alice)
        assert again.arrived.status_code == 403
        assert "None of your groups may use this platform" in again.arrived.text
    finally:
        keycloak.move("alice", "dev-payments", "PUT")


def test_key_of_the_person_bears_their_name(sign_in, litellm):
    alice = sign_in("alice")
    alice.submit("/portal/connect", "/portal/key")
    (made,) = litellm.live_keys()
    assert made["team_id"] == "payments"
    assert litellm.users[made["user_id"]]["user_alias"] == "alice"


def test_sign_in_goes_on_once_keys_were_rotated(keycloak, sign_in):
    sign_in("alice")
    keycloak.rotate_keys()
    assert sign_in("alice").arrived.headers["location"] == "/portal/overview"
