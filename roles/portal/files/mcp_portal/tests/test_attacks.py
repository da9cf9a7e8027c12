"""What somebody gets with one session, or with none, that they should not get."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta

import lab
import pytest
from mcp_portal import people
from mcp_portal.portal import _network
from mcp_portal.problem import Problem

LINE = re.compile(r"curl -fsS (\S+) \| sh")
MARKUP = "<script>alert(1)</script>\"'>"


@pytest.fixture
def issuer(faulty):
    return faulty.issuer


@pytest.fixture
def arrive(portal):
    """`arrive()` returns a browser in which somebody has signed in."""

    def arrived():
        browser = lab.Browser(portal.url)
        there = browser.get("/portal/sign-in")
        back = browser.http.get(there.headers["location"])
        assert browser.http.get(back.headers["location"]).status_code == 303
        return browser

    return arrived


# --- what has ended stays ended -----------------------------------------------------------------


def end_all(owner):
    return lambda: owner.submit("/portal/overview", "/portal/end-sessions")


@pytest.mark.parametrize("page", ["tools", "models"])
def test_page_that_was_being_made_does_not_bring_an_ended_session_back(arrive, litellm, page):
    owner, thief = arrive(), arrive()
    litellm.meanwhile["/key/generate"] = end_all(owner)
    thief.get(f"/portal/{page}")
    assert thief.get("/portal/overview").status_code == 303
    assert litellm.live_keys() == []


def test_sign_in_that_was_beginning_does_not_bring_an_ended_session_back(arrive, faulty):
    owner, thief = arrive(), arrive()
    cookie = thief.http.cookies["portal"]
    faulty.meanwhile = end_all(owner)
    thief.get("/portal/sign-in")
    thief.http.cookies.set("portal", cookie)
    assert thief.get("/portal/overview").status_code == 303


@pytest.mark.parametrize("path", ["key", "bundle"])
def test_key_that_was_being_made_ends_with_its_session(arrive, litellm, path):
    owner, thief = arrive(), arrive()
    litellm.meanwhile["/key/generate"] = end_all(owner)
    answer = thief.submit("/portal/connect", f"/portal/{path}")
    assert answer.status_code == 303 and litellm.live_keys() == []


def test_line_that_was_being_fetched_ends_with_its_session(arrive, litellm):
    owner, thief = arrive(), arrive()
    address = LINE.search(thief.submit("/portal/connect", "/portal/line").text)[1]
    litellm.meanwhile["/key/generate"] = end_all(owner)
    assert lab.httpx2.get(address, trust_env=False).status_code == 404
    assert litellm.live_keys() == []


def test_team_that_left_the_table_is_nobodys(configure, faulty):
    known = people.Person(id="1", name="sam", email="", teams=["payments", "research"])
    oidc = configure(faulty.issuer, oidc={"teams": [{"group": "r", "team": "research"}]}).oidc
    assert people.still(known, oidc).teams == ["research"]
    other = configure(faulty.issuer, oidc={"teams": [{"group": "x", "team": "x"}]}).oidc
    with pytest.raises(Problem, match="no_team"):
        people.still(known, other)


def test_keys_of_earlier_days_are_deleted_and_not_counted(arrive, litellm):
    sam = arrive()
    sam.submit("/portal/connect", "/portal/key")
    (key,) = litellm.live_keys()
    key["expires"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    sam.submit("/portal/connect", "/portal/key")
    (left,) = litellm.live_keys()
    assert left is not key
    left["expires"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert "1 keys were revoked" in end_all(sam)().text
    assert litellm.live_keys() == []


def test_two_sign_ins_at_once_are_one_session(portal):
    """In one browser the later one counts; the other is told to begin again, and ends nothing."""
    browser = lab.Browser(portal.url)
    ways = [browser.get("/portal/sign-in").headers["location"] for _number in range(2)]
    backs = [browser.http.get(way).headers["location"] for way in ways]
    first, second = (browser.http.get(back) for back in backs)
    assert (first.status_code, second.status_code) == (400, 303)
    assert "Hello, sam" in browser.get("/portal/overview").text
    assert browser.http.get(backs[0]).status_code == 400
    assert "Hello, sam" in browser.get("/portal/overview").text


def test_line_that_is_fetched_twice_at_once_makes_one_key(arrive, litellm):
    address = LINE.search(arrive().submit("/portal/connect", "/portal/line").text)[1]
    seen = []
    fetch = lambda: seen.append(lab.httpx2.get(address, trust_env=False).status_code)  # noqa: E731
    litellm.meanwhile["/key/generate"] = fetch
    fetch()
    assert sorted(seen) == [200, 404] and len(litellm.live_keys()) == 1


# --- where one is led to, and what one is told --------------------------------------------------


@pytest.mark.parametrize("path", ["/portal", "/portal/overview/", "//evil.example/portal"])
def test_host_of_a_request_is_nowhere_led_to(portal, path):
    answer = lab.httpx2.get(
        portal.url + path,
        headers={"host": "evil.example", "x-forwarded-host": "evil.example"},
        trust_env=False,
    )
    assert answer.headers.get("location", "/portal/") == "/portal/"


@pytest.mark.parametrize(
    "wanted",
    ["%5C%5Cevil.example", "/%5Cevil.example", "https:evil.example", "overview%00", "%2F%2Fevil"],
)
def test_encoded_addresses_are_no_way_out(portal, wanted):
    browser = lab.Browser(portal.url)
    there = browser.get(f"/portal/sign-in?next={wanted}")
    back = browser.http.get(there.headers["location"])
    arrived = browser.http.get(back.headers["location"])
    assert arrived.headers["location"] == "/portal/overview"
    chosen = browser.get(f"/portal/language/zh?from={wanted}")
    assert chosen.headers["location"] == "/portal/"


def test_address_puts_no_words_into_the_page_or_the_log(portal, caplog):
    said = "error=Call+555-0100&error_description=Call%20555-0100%0Aforged+line"
    page = lab.Browser(portal.url).get(f"/portal/callback?{said}")
    assert page.status_code == 502 and "555" not in page.text
    assert "forged" in caplog.text and "\nforged" not in caplog.text


def test_names_of_people_models_and_tools_are_text(arrive, portal, faulty, litellm):
    faulty.claims = {"preferred_username": MARKUP, "email": MARKUP}
    litellm.model = MARKUP
    sam = arrive()
    for page in ("overview", "connect", "models", "tools", "usage"):
        text = sam.get(f"/portal/{page}?q={MARKUP}&team={MARKUP}").text
        assert "<script" not in text, page
        assert "&lt;script&gt;" in text, page


def test_name_cannot_turn_the_line_around(arrive, faulty):
    faulty.claims = {"preferred_username": "sam\u202e\u0007\nadmin"}
    assert "Hello, samadmin" in arrive().get("/portal/overview").text


def test_log_has_no_secrets(arrive, portal, litellm, caplog):
    caplog.set_level(logging.INFO)
    sam = arrive()
    address = LINE.search(sam.submit("/portal/connect", "/portal/line").text)[1]
    shown = sam.submit("/portal/connect", "/portal/key").text
    litellm.status = 500
    assert lab.httpx2.get(address, trust_env=False).status_code == 502
    code = address.rpartition("/")[2]
    key = re.search(r"sk-made-\d+", shown)[0]
    cookie = sam.http.cookies["portal"]
    # The program silences the others (mcp_portal.cli).
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name == "mcp_portal")
    assert "/portal/install/..." in ours
    for word in (code, key, cookie, lab.PORTAL_KEY, "a-client-secret-of-the-tests"):
        assert word not in ours


def test_log_is_not_filled_by_who_has_no_session(portal, caplog):
    browser = lab.Browser(portal.url)
    seen = [browser.get("/portal/callback?error=x").status_code for _number in range(70)]
    assert seen[:60] == [502] * 60 and seen[60:] == [429] * 10
    logged = len([record for record in caplog.records if record.name == "mcp_portal"])
    for path in ("nothing", "callback?state=x&code=x", "install/guessed"):
        for _number in range(5):
            assert browser.get(f"/portal/{path}").status_code in (404, 429)
    assert len([r for r in caplog.records if r.name == "mcp_portal"]) == logged <= 120


# --- forms, bodies, counts ----------------------------------------------------------------------


def test_token_of_other_letters_is_refused_like_any(arrive):
    sam = arrive()
    sam.get("/portal/connect")
    for token in ("é", "\x00", "令牌"):
        answer = sam.http.post(f"{sam.base}/portal/key", data={"csrf": token})
        assert answer.status_code == 403
    files = {"csrf": ("csrf", b"x")}
    assert sam.http.post(f"{sam.base}/portal/key", files=files).status_code == 403


def test_form_does_not_fill_the_memory(arrive):
    sam = arrive()
    answer = sam.http.post(f"{sam.base}/portal/key", data={"csrf": "x" * 100_000})
    assert answer.status_code == 413 and "more than a form" in answer.text
    assert sam.get("/portal/overview").status_code == 200


def test_preview_of_a_line_does_not_use_it_up(arrive, litellm):
    address = LINE.search(arrive().submit("/portal/connect", "/portal/line").text)[1]
    assert lab.httpx2.head(address, trust_env=False).status_code == 404
    assert litellm.live_keys() == []
    assert lab.httpx2.get(address, trust_env=False).status_code == 200


def test_one_machine_with_many_addresses_is_counted_once():
    assert _network("2001:db8::1") == _network("2001:db8::ffff:1")
    assert _network("2001:db8::1") != _network("2001:db8:0:1::1")
    assert _network("10.0.0.1") != _network("10.0.0.2")
    assert _network("unix:") == "unix:"


# --- tokens and answers of other kinds ----------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_token_that_everybody_could_sign_is_not_believed(portal, faulty, algorithm):
    faulty.algorithms = ["RS256", algorithm]
    browser = lab.Browser(portal.url)
    back = browser.http.get(browser.get("/portal/sign-in").headers["location"])
    arrived = browser.http.get(back.headers["location"])
    assert arrived.status_code == 502 and "cannot be trusted" in arrived.text


def test_groups_of_another_subject_are_not_taken(portal, faulty):
    faulty.claims = {"groups": None}
    browser = lab.Browser(portal.url)
    back = browser.http.get(browser.get("/portal/sign-in").headers["location"])
    arrived = browser.http.get(back.headers["location"])
    assert arrived.status_code == 403 and "named no group of yours" in arrived.text


@pytest.mark.parametrize("path", ["/token", "/jwks", "/userinfo", "/metadata"])
@pytest.mark.parametrize("answer", [[], "text", {"keys": "text"}, {"keys": [7]}, None])
def test_answer_of_another_shape_is_one_clear_message(portal, faulty, path, answer):
    faulty.claims = {"groups": None}
    faulty.answers = {path: answer}
    browser = lab.Browser(portal.url)
    shown = browser.get("/portal/sign-in")
    if shown.status_code == 302:
        back = browser.http.get(shown.headers["location"])
        shown = browser.http.get(back.headers["location"])
    assert shown.status_code in (403, 502, 503) and "That did not work" in shown.text
    assert browser.get("/portal/overview").status_code == 303
