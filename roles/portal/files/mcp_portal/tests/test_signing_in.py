"""Sign-in with a real provider, and everything that may go wrong on the way."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import lab
import pytest


def test_page_says_where_one_signs_in(portal, provider):
    page = lab.Browser(portal.url).get("/portal/")
    assert page.status_code == 200 and provider.issuer in page.text
    assert "script" not in page.text.lower()


def test_person_signs_in_and_sees_team_models_tools_and_usage(portal, sign_in):
    alice = sign_in(portal, "alice")
    assert alice.arrived.headers["location"] == "/portal/overview"
    overview = alice.get("/portal/overview").text
    assert "Hello, alice" in overview and "payments" in overview
    models = alice.get("/portal/models").text
    assert "qwen3:8b" in models and "40,960" in models and "company-large" in models
    tools = alice.get("/portal/tools").text
    assert "read_file" in tools and "write_file" in tools, "both pages of the list"
    assert "<b>a file" not in tools, "a description is text"
    assert "The ticket system" in tools, "what is not open is named"
    found = alice.get("/portal/tools?q=writes").text
    assert "write_file" in found and "read_file" not in found
    usage = alice.get("/portal/usage").text
    assert "4,200" in usage and "100.00" in usage and "600" in usage


def test_request_for_sign_in_has_state_nonce_and_pkce(portal):
    address = lab.Browser(portal.url).get("/portal/sign-in").headers["location"]
    asked = parse_qs(urlsplit(address).query)
    assert asked["response_type"] == ["code"] and asked["code_challenge_method"] == ["S256"]
    assert asked["state"] and asked["nonce"] and asked["code_challenge"]


def test_whoever_opens_a_page_signs_in_and_comes_back_to_it(portal, sign_in):
    sent = lab.Browser(portal.url).get("/portal/usage")
    assert sent.headers["location"] == "/portal/sign-in?next=usage"
    assert sign_in(portal, "alice", "usage").arrived.headers["location"] == "/portal/usage"


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/portal/usage", "../x", "usage%0d%0a"]
)
def test_sign_in_leads_nowhere_else(portal, sign_in, wanted):
    assert sign_in(portal, "alice", wanted).arrived.headers["location"] == "/portal/overview"


def test_person_of_no_team_is_told_so(portal, sign_in):
    bob = sign_in(portal, "bob")
    assert bob.arrived.status_code == 403
    assert "None of your groups may use this platform" in bob.arrived.text
    assert bob.get("/portal/overview").status_code == 303, "not signed in"


def test_person_who_left_the_group_is_refused_at_the_next_sign_in(portal, provider, sign_in):
    provider.change("alice", groups=["staff"])
    try:
        assert sign_in(portal, "alice").arrived.status_code == 403
    finally:
        provider.change("alice", groups=["staff", "dev-payments"])


def test_group_claim_may_be_one_text(portal, provider, sign_in):
    provider.change("carol", preferred_username="carol", groups="dev-payments")
    assert "payments" in _overview(sign_in(portal, "carol"))


def test_missing_group_claim_is_named(portal, provider, sign_in):
    provider.change("dave", preferred_username="dave")
    arrived = sign_in(portal, "dave").arrived
    assert arrived.status_code == 403
    assert "platform_oidc.claims.groups" in arrived.text and "&#34;groups&#34;" in arrived.text
    # Keycloak leaves the claim of somebody out who is in no group.
    assert "add you to a group" in " ".join(arrived.text.split())


def test_ten_thousand_groups_are_no_burden(portal, provider, sign_in):
    groups = [f"group-{n}" for n in range(10_000)]
    provider.change("erin", preferred_username="erin", groups=[*groups, "research", "dev-payments"])
    erin = sign_in(portal, "erin")
    assert "payments, research" in _overview(erin), "in the order of the table"
    cookies = [cookie.value for cookie in erin.http.cookies.jar if cookie.name == "portal"]
    assert len(cookies[0]) < 100


def test_two_people_of_one_name_are_two_users(portal, provider, sign_in, litellm):
    for subject in ("sam1", "sam2"):
        provider.change(subject, preferred_username="sam", groups=["dev-payments"])
        sign_in(portal, subject).submit("/portal/connect", "/portal/key")
    assert len(litellm.users) == 2
    assert {user["user_alias"] for user in litellm.users.values()} == {"sam"}


def test_code_works_once(portal, sign_in):
    alice = sign_in(portal, "alice")
    again = alice.http.get(alice.came_by)
    assert again.status_code == 400 and "was used already" in again.text
    assert "Hello, alice" in _overview(alice), "the session that there is goes on"


def test_code_is_worth_nothing_in_another_browser(portal, sign_in):
    alice = sign_in(portal, "alice")
    other = lab.Browser(portal.url).http.get(alice.came_by)
    assert other.status_code == 400 and "another browser" in other.text


def test_denied_sign_in_is_said_so(portal):
    page = lab.Browser(portal.url).get("/portal/callback?error=access_denied&state=x")
    assert page.status_code == 403 and "cancelled or denied" in page.text


def test_session_id_changes_with_the_sign_in(portal, provider):
    import identity_provider

    browser = lab.Browser(portal.url)
    began = browser.get("/portal/sign-in")
    planted = browser.http.cookies["portal"]
    back = identity_provider.pass_provider(browser.http, began.headers["location"], "alice")
    browser.http.get(back)
    mine = [c.value for c in browser.http.cookies.jar if c.name == "portal"]
    assert mine and planted not in mine
    assert httpx_get(portal, "/portal/overview", planted).status_code == 303


def test_provider_away_stops_new_sign_ins_alone(portal, configure, sign_in):
    alice = sign_in(portal, "alice")
    gone = configure(f"http://127.0.0.1:{lab.free_port()}", port=lab.free_port())
    with lab.running(gone) as other:
        page = lab.Browser(other.url).get("/portal/sign-in")
    assert page.status_code == 503 and "does not answer" in page.text
    assert page.headers["retry-after"] == "60"
    assert "Hello, alice" in _overview(alice)


def test_wrong_client_secret_is_named(provider, configure, sign_in, tmp_path):
    config = configure(provider.issuer)
    (tmp_path / "client").write_text("another")
    with lab.running(config) as portal:
        arrived = sign_in(portal, "alice").arrived
    assert arrived.status_code == 502 and "platform_oidc.client_id" in arrived.text


def test_too_many_sign_ins_are_slowed_down(portal):
    browser = lab.Browser(portal.url)
    seen = {browser.get("/portal/sign-in").status_code for _number in range(70)}
    assert seen == {302, 429}


def _overview(browser):
    return browser.get("/portal/overview").text


def httpx_get(portal, path, cookie):
    return lab.httpx2.get(portal.url + path, cookies={"portal": cookie})
