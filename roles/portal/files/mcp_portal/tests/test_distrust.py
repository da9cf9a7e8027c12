"""Tokens that must not be believed: each has one message, and nobody is signed in by it."""

from __future__ import annotations

import time

import lab
import pytest


@pytest.fixture
def issuer(faulty):
    return faulty.issuer


def arrive(portal):
    """Sign in; return the browser and what it was shown in the end."""
    browser = lab.Browser(portal.url)
    there = browser.get("/portal/sign-in")
    back = browser.http.get(there.headers["location"])
    return browser, browser.http.get(back.headers["location"])


def test_good_token_signs_in(portal):
    browser, arrived = arrive(portal)
    assert arrived.status_code == 303, arrived.text
    assert "Hello, sam" in browser.get("/portal/overview").text


HOUR = 3600


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"aud": "another-program"}, "a token for another program"),
        ({"aud": ["another", "third"]}, "a token for another program"),
        ({"aud": None}, "a token for another program"),
        ({"iat": HOUR, "exp": 2 * HOUR}, "The clocks of this platform"),
        ({"iat": -2 * HOUR, "exp": -HOUR}, "The clocks of this platform"),
        ({"nbf": HOUR}, "The clocks of this platform"),
        ({"nonce": "another"}, "cannot be trusted"),
        ({"iss": "https://other.example"}, "cannot be trusted"),
        ({"sub": None}, "cannot be trusted"),
        ({"sub": ""}, "did not say who you are"),
        ({"sub": 7}, "cannot be trusted"),
        ({"groups": None}, "named no group of yours"),
        ({"groups": {"dev-payments": True}}, "None of your groups"),
        ({"groups": [["dev-payments"]]}, "None of your groups"),
        ({"metadata_issuer": "https://other.example"}, "calls itself https://other.example"),
    ],
)
def test_bad_token_signs_nobody_in(portal, faulty, claims, message):
    now = int(time.time())
    times = {k: now + v for k, v in claims.items() if k in ("iat", "exp", "nbf")}
    faulty.claims = {**claims, **times}
    browser = lab.Browser(portal.url)
    shown = browser.get("/portal/sign-in")
    if shown.status_code == 302:
        back = browser.http.get(shown.headers["location"])
        shown = browser.http.get(back.headers["location"])
    assert shown.status_code in (403, 502) and message in shown.text
    assert browser.get("/portal/overview").status_code == 303


def test_small_difference_of_clocks_is_no_fault(portal, faulty):
    faulty.claims = {"iat": int(time.time()) + 30, "nbf": int(time.time()) + 30}
    assert arrive(portal)[1].status_code == 303


def test_rotated_key_is_fetched(portal, faulty):
    assert arrive(portal)[1].status_code == 303
    faulty.rotate("second")
    assert arrive(portal)[1].status_code == 303


def test_key_that_is_not_published_is_not_believed(portal, faulty):
    faulty.rotate("third", publish=False)
    arrived = arrive(portal)[1]
    assert arrived.status_code == 502 and "cannot be trusted" in arrived.text


def test_forged_signature_under_a_known_key_id_is_not_believed(portal, faulty):
    faulty.rotate("first", publish=False)
    arrived = arrive(portal)[1]
    assert arrived.status_code == 502 and "cannot be trusted" in arrived.text
