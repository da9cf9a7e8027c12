"""People who leave a group, or the company, between sign-ins: what they had ends within minutes."""

from __future__ import annotations

import asyncio
import logging
import time

import conftest
import lab
import msgspec
import program
import pytest
import redis
from mcp_portal import people
from mcp_portal.seal import Seal
from mcp_portal.settings import ConfigError
from mcp_portal.standing import Standing, judged, place
from mcp_portal.store import MemoryStore, RedisStore
from program import Program
from test_device import Terminal, allow, everything

ADMINISTRATORS = "platform-admins"
BOTH = ["dev-payments", "research"]


@pytest.fixture
def issuer(faulty):
    faulty.gives_refresh_tokens = True
    return faulty.issuer


@pytest.fixture
def config(issuer, configure, tmp_path):
    # No round begins by itself during a test.
    named = {"administrator_groups": [ADMINISTRATORS], "recheck_seconds": 3600}
    return configure(issuer, **named, **program.authorization(tmp_path, groups=["contractors-*"]))


def store_of(portal):
    return portal.app.state.recheck._portal.store


def check(portal):
    """A round, of which everybody is due."""
    store_of(portal)._counts.clear()
    again(portal)


def again(portal):
    """A round at once after another."""
    portal.call(portal.app.state.recheck.round())


def id_of(faulty, name="sam"):
    return people.id_of(faulty.issuer, name)


def kept(portal, faulty, name="sam"):
    """What is kept of somebody, in clear; None where nothing is."""
    found = portal.call(portal.app.state.recheck._standings.find(id_of(faulty, name)))
    return found[1] if found else None


def is_told(portal):
    """Whether the provider has named groups when it was asked again."""
    return portal.call(portal.app.state.recheck._standings.is_told())


def is_signed_in(browser):
    return browser.get("/portal/overview").status_code == 200


def key_of(browser):
    assert browser.submit("/portal/connect", "/portal/key").status_code == 200


def leave(faulty, name="sam", groups=("staff",)):
    faulty.changed[name] = {"groups": list(groups)}


# --- who has left -------------------------------------------------------------------------------


def test_who_left_the_group_loses_sessions_terminals_programs_and_keys(
    portal, arrive, faulty, litellm, caplog
):
    caplog.set_level(logging.INFO, "mcp_portal")
    sam, phone, anna = arrive(), arrive(), arrive("anna")
    terminal, codex = Terminal(portal), Program(portal)
    allow(sam, terminal)
    key, tokens = terminal.poll().json(), codex.tokens(sam)
    key_of(sam)
    key_of(anna)
    check(portal)
    assert is_signed_in(sam) and len(litellm.live_keys()) == 3
    leave(faulty)
    caplog.clear()
    check(portal)
    assert not is_signed_in(sam) and not is_signed_in(phone)
    assert terminal.renew(key["refresh_token"]).json()["error"] == "invalid_grant"
    assert program.error(codex.renew(tokens["refresh_token"])) == (400, "invalid_grant")
    (left,) = litellm.live_keys()
    assert left["user_id"] == f"sso-{id_of(faulty, 'anna')}" and is_signed_in(anna)
    assert kept(portal, faulty) is None
    (said,) = caplog.messages
    assert f"sso-{id_of(faulty)}" in said and "no longer in team payments" in said


def test_one_team_of_several_is_enough_since_keys_are_of_a_team(portal, arrive, faulty, litellm):
    sam = arrive(groups=BOTH)
    key_of(sam)
    leave(faulty, groups=["research"])
    check(portal)
    assert not is_signed_in(sam) and litellm.live_keys() == []
    faulty.changed.clear()
    assert is_signed_in(arrive(groups=["research"])), "the next sign-in is good"


def test_another_group_ends_nothing_and_a_new_one_comes_with_the_next_sign_in(
    portal, arrive, faulty, litellm
):
    sam = arrive(groups=["dev-payments", "staff"])
    key_of(sam)
    for groups in (["dev-payments"], BOTH, ["dev-payments"]):
        leave(faulty, groups=groups)
        check(portal)
        assert is_signed_in(sam) and len(litellm.live_keys()) == 1
        assert kept(portal, faulty).teams == ["payments"]
    assert faulty.asked_again == ["sam"] * 3


def test_who_left_the_administrators_is_signed_out(portal, arrive, faulty):
    sam = arrive(groups=["dev-payments", ADMINISTRATORS])
    assert sam.get("/portal/people").status_code == 200
    leave(faulty, groups=["dev-payments"])
    check(portal)
    assert not is_signed_in(sam)


def test_group_that_the_list_of_administrators_lost_ends_nothing(config):
    known = Standing("r", time.time() + 60, ["payments"], [ADMINISTRATORS])
    claims = {"groups": ["dev-payments"]}
    assert judged(known, claims, True, config)[0].left
    unnamed = msgspec.structs.replace(config, administrator_groups=["others"])
    assert not judged(known, claims, True, unnamed)[0].left


def test_whom_the_company_signed_out_or_locked_loses_everything(portal, arrive, faulty, litellm):
    sam, anna = arrive(), arrive("anna")
    key_of(sam)
    faulty.refresh_tokens = {t: who for t, who in faulty.refresh_tokens.items() if who != "sam"}
    check(portal)
    assert not is_signed_in(sam) and litellm.live_keys() == [] and is_signed_in(anna)


def test_gateway_is_told_the_new_groups(portal, arrive, faulty):
    sam, codex = arrive(), Program(portal)
    tokens = codex.tokens(sam)
    leave(faulty, groups=["dev-payments", "contractors-x"])
    check(portal)
    members = portal.app.state.recheck._portal.members
    assert portal.call(members.find(id_of(faulty))).groups == ["contractors-x"]
    assert codex.renew(tokens["refresh_token"]).status_code == 200


def test_name_that_is_not_told_again_stays_the_one_that_rules_know(portal, arrive, faulty):
    arrive()
    members = portal.app.state.recheck._portal.members
    name = portal.call(members.find(id_of(faulty))).name
    faulty.changed["sam"] = {
        "groups": ["dev-payments", "contractors-x"],
        "preferred_username": None,
    }
    check(portal)
    found = portal.call(members.find(id_of(faulty)))
    assert name and (found.name, found.groups) == (name, ["contractors-x"])


def test_row_that_left_the_table_is_a_team_that_was_left(config):
    known = Standing("r", time.time() + 60, ["payments", "research"], [])
    claims = {"groups": BOTH}
    assert not judged(known, claims, True, config)[0].left
    oidc = msgspec.structs.replace(config.oidc, teams=config.oidc.teams[:1])
    assert judged(known, claims, True, msgspec.structs.replace(config, oidc=oidc))[0].left


# --- with a real provider, whose refresh tokens work once, and which tells groups elsewhere -------


def test_real_provider_tells_who_left(configure, provider, sign_in):
    with lab.running(configure(provider.issuer)) as portal:
        alice = sign_in(portal, "alice")
        assert portal.call(store_of(portal).below("standing:"))
        for _number in range(2):
            check(portal)
            assert is_signed_in(alice)
        provider.change("alice", groups=["staff"])
        try:
            check(portal)
        finally:
            provider.change("alice", groups=["staff", "dev-payments"])
        assert not is_signed_in(alice)


def test_real_provider_tells_whose_account_is_gone(configure, provider, sign_in):
    provider.change("zoe", preferred_username="zoe", groups=["dev-payments"])
    with lab.running(configure(provider.issuer)) as portal:
        zoe = sign_in(portal, "zoe")
        check(portal)
        assert is_signed_in(zoe)
        provider.remove("zoe")
        check(portal)
        assert not is_signed_in(zoe)


# --- what the provider may say ------------------------------------------------------------------


def test_each_refresh_token_is_used_once(portal, arrive, faulty):
    sam = arrive()
    for _number in range(3):
        check(portal)
    assert faulty.asked_again == ["sam"] * 3 and is_signed_in(sam)
    assert list(faulty.refresh_tokens) == [kept(portal, faulty).refresh_token]


def test_refresh_token_that_stays_the_same_is_used_again(portal, arrive, faulty):
    sam = arrive()
    given = kept(portal, faulty).refresh_token
    faulty.leaves_out = ["refresh_token"]
    for _number in range(2):
        check(portal)
        faulty.refresh_tokens = {given: "sam"}
    assert faulty.asked_again == ["sam"] * 2 and is_signed_in(sam)


AWAY = {
    "away": {"is_away": True},
    "garbage": {"answers": {"/refresh": "text"}},
    "no access token": {"answers": {"/refresh": {}}},
    "another error": {"answers": {"/refresh": {"error": "invalid_client"}}},
    "wants the person": {"answers": {"/refresh": {"error": "interaction_required"}}},
    "odd error": {"answers": {"/refresh": {"error": {"of": "sam@example.internal"}}}},
    "another subject": {"changed": {"sam": {"sub": "anna"}}},
    "no subject": {"changed": {"sam": {"sub": None}}},
    "another audience": {"changed": {"sam": {"aud": "another-program"}}},
    "another issuer": {"changed": {"sam": {"iss": "https://other.example"}}},
    "expired": {"changed": {"sam": {"iat": 1_000_000_000, "exp": 1_000_000_300}}},
    "another's userinfo": {"changed": {"sam": {"groups": None}}},
    "nobody's userinfo": {
        "changed": {"sam": {"groups": None}},
        "answers": {"/userinfo": {}},
    },
    "userinfo away": {
        "changed": {"sam": {"groups": None}},
        "answers": {"/userinfo": "text"},
    },
}


@pytest.mark.parametrize("case", AWAY)
def test_what_tells_nothing_of_somebody_ends_nothing(portal, arrive, faulty, litellm, caplog, case):
    sam = arrive()
    key_of(sam)
    check(portal)
    faulty.has_userinfo = "userinfo" in case
    portal.call(portal.app.state.recheck._portal.provider.check())
    caplog.clear()
    well = {name: getattr(faulty, name) for name in AWAY[case]}
    for name, value in AWAY[case].items():
        setattr(faulty, name, value)
    check(portal)
    assert is_signed_in(sam) and len(litellm.live_keys()) == 1
    (said,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert f"sso-{id_of(faulty)} is checked later" in said
    assert "example.internal" not in said and "refresh-" not in said
    for name, value in well.items():
        setattr(faulty, name, value)
    caplog.clear()
    check(portal)
    assert is_signed_in(sam) and caplog.messages == []


def test_unsigned_answer_ends_nothing(portal, arrive, faulty):
    sam = arrive()
    leave(faulty)
    faulty.rotate("first", publish=False)
    check(portal)
    assert is_signed_in(sam)


def test_provider_that_was_away_is_asked_again(portal, arrive, faulty):
    sam = arrive()
    leave(faulty)
    faulty.is_away = True
    check(portal)
    assert is_signed_in(sam)
    faulty.is_away = False
    check(portal)
    assert not is_signed_in(sam)


def test_one_person_who_cannot_be_checked_is_in_nobodys_way(portal, arrive, faulty):
    browsers = {name: arrive(name) for name in ("sam", "anna", "ben", "cleo")}
    faulty.changed = {"sam": {"sub": "x"}, "anna": {"groups": ["staff"]}}
    check(portal)
    assert [is_signed_in(b) for b in browsers.values()] == [True, False, True, True]


def test_provider_that_is_away_is_not_asked_for_everybody(portal, arrive, faulty, caplog):
    for name in ("sam", "anna", "ben", "cleo"):
        arrive(name)
    faulty.is_away = True
    check(portal)
    assert len([m for m in caplog.messages if "is checked later" in m]) == 3


def test_missing_claim_means_no_group_where_it_is_named_of_others(portal, arrive, faulty, caplog):
    faulty.has_userinfo = False
    sam, anna = arrive(), arrive("anna")
    faulty.changed = {name: {"groups": None} for name in ("sam", "anna")}
    check(portal)
    assert is_signed_in(sam) and is_signed_in(anna), "it may name groups at the sign-in alone"
    assert not is_told(portal)
    assert len([m for m in caplog.messages if "and not later on" in m]) == 1
    del faulty.changed["sam"]
    check(portal)
    assert is_told(portal) and is_signed_in(sam)
    check(portal)
    assert is_signed_in(sam) and not is_signed_in(anna), "it names them of sam"


def test_answer_without_any_claim_says_nothing_of_groups(portal, arrive, faulty):
    faulty.has_userinfo = False
    sam = arrive()
    check(portal)
    assert is_told(portal)
    faulty.leaves_out = ["id_token"]
    check(portal)
    assert is_signed_in(sam) and kept(portal, faulty) is not None


def test_groups_of_the_userinfo_endpoint_count_with_an_id_token_or_without(portal, arrive, faulty):
    sam = arrive()
    faulty.answers["/userinfo"] = {"sub": "sam", "groups": ["dev-payments"]}
    faulty.changed = {"sam": {"groups": None}}
    check(portal)
    assert is_signed_in(sam) and is_told(portal)
    faulty.leaves_out = ["id_token"]
    check(portal)
    assert is_signed_in(sam)
    faulty.answers["/userinfo"] = {"sub": "sam", "groups": ["staff"]}
    check(portal)
    assert not is_signed_in(sam)


def test_refresh_token_is_used_once_where_the_access_token_ends_soon(portal, arrive, faulty):
    faulty.expires_in = 30
    faulty.answers["/userinfo"] = {"sub": "sam", "groups": ["dev-payments"]}
    faulty.claims = {"groups": None}
    sam = arrive(groups=None)
    for _round in range(3):
        check(portal)
    assert faulty.asked_again == ["sam"] * 3 and is_signed_in(sam)


# --- what is ended ------------------------------------------------------------------------------


def test_what_could_not_be_ended_is_ended_by_the_next_round(portal, arrive, faulty, litellm):
    sam = arrive()
    key_of(sam)
    leave(faulty)
    litellm.status = 500
    check(portal)
    assert not is_signed_in(sam) and kept(portal, faulty).left
    check(portal)
    assert len(litellm.live_keys()) == 1
    litellm.status = 200
    check(portal)
    assert litellm.live_keys() == [] and kept(portal, faulty) is None
    assert faulty.asked_again == ["sam"], "the provider has said what it had to say"


def test_sessions_of_everybody_who_left_end_while_litellm_is_away(portal, arrive, faulty, litellm):
    browsers = [arrive(name) for name in ("sam", "anna", "ben", "cleo", "dan")]
    for name in ("sam", "anna", "ben", "cleo", "dan"):
        leave(faulty, name)
    litellm.status = 500
    check(portal)
    assert not any(is_signed_in(browser) for browser in browsers)


def test_what_end_all_my_sessions_could_not_revoke_is_revoked_by_the_next_round(
    portal, arrive, faulty, litellm
):
    sam = arrive()
    key_of(sam)
    litellm.status = 500
    sam.submit("/portal/overview", "/portal/end-sessions")
    assert not is_signed_in(sam) and kept(portal, faulty).left
    litellm.status = 200
    check(portal)
    assert litellm.live_keys() == [] and kept(portal, faulty) is None


def test_round_brings_nothing_back_that_was_ended_meanwhile(portal, arrive, faulty):
    sam, phone = arrive(), arrive()
    faulty.meanwhile = lambda: sam.submit("/portal/overview", "/portal/end-sessions")
    check(portal)
    assert kept(portal, faulty) is None and not is_signed_in(phone)
    check(portal)
    assert faulty.asked_again == ["sam"]


def test_answer_about_an_earlier_sign_in_counts_for_no_newer_one(portal, arrive, faulty):
    sam, newer = arrive(), []

    def signs_in_anew():
        faulty.changed.clear()
        newer.append(arrive())

    leave(faulty)
    faulty.meanwhile = signs_in_anew
    given = set(faulty.refresh_tokens)
    check(portal)
    assert is_signed_in(sam) and is_signed_in(newer[0])
    assert kept(portal, faulty).refresh_token not in given
    check(portal)
    assert is_signed_in(newer[0])


def test_newest_sign_in_is_the_one_that_is_asked_about(portal, arrive, faulty):
    arrive()
    (earlier,) = faulty.refresh_tokens
    sam = arrive()
    del faulty.refresh_tokens[earlier]
    check(portal)
    assert is_signed_in(sam)


def test_who_signs_in_after_leaving_one_of_two_groups_keeps_no_keys_of_it(
    portal, arrive, faulty, litellm
):
    earlier = arrive(groups=BOTH)
    key_of(earlier)
    newer = arrive(groups=["research"])
    assert litellm.live_keys() == [] and not is_signed_in(earlier)
    check(portal)
    assert is_signed_in(newer)


def test_signing_out_of_one_browser_leaves_the_others_and_their_checks(portal, arrive, faulty):
    sam, phone = arrive(), arrive()
    sam.submit("/portal/overview", "/portal/sign-out")
    check(portal)
    assert is_signed_in(phone)
    leave(faulty)
    check(portal)
    assert not is_signed_in(phone)


def test_administrator_ends_the_checks_with_the_sessions(portal, arrive, faulty):
    sam, boss = arrive(), arrive("boss", groups=["dev-payments", ADMINISTRATORS])
    page = f"/portal/people/{id_of(faulty)}/end"
    assert boss.submit(page, page).status_code == 200
    assert not is_signed_in(sam) and kept(portal, faulty) is None


# --- whether there is anything to ask with ------------------------------------------------------


def test_without_a_refresh_token_groups_are_those_of_the_sign_in(
    portal, arrive, faulty, litellm, caplog
):
    faulty.gives_refresh_tokens = False
    sam = arrive()
    key_of(sam)
    leave(faulty)
    check(portal)
    assert is_signed_in(sam) and len(litellm.live_keys()) == 1 and faulty.asked_again == []
    assert "gives no refresh token" in caplog.text


def test_who_comes_without_a_refresh_token_is_asked_about_with_the_one_of_before(
    portal, arrive, faulty, litellm
):
    key_of(arrive())
    faulty.gives_refresh_tokens = False
    sam = arrive()
    leave(faulty)
    check(portal)
    assert not is_signed_in(sam) and litellm.live_keys() == []


def test_nobody_signs_in_without_the_refresh_token_that_was_asked_for(
    configure, issuer, arrive, faulty
):
    config = configure(issuer, port=lab.free_port())
    oidc = msgspec.structs.replace(config.oidc, scopes=("openid", "offline_access"))
    with lab.running(msgspec.structs.replace(config, oidc=oidc)) as portal:
        assert is_signed_in(arrive(at=portal))
        faulty.gives_refresh_tokens = False
        browser = lab.Browser(portal.url)
        there = browser.get("/portal/sign-in")
        back = browser.http.get(there.headers["location"])
        refused = browser.http.get(back.headers["location"])
    assert refused.status_code == 502 and "gave no refresh token" in refused.text


def test_nothing_is_asked_or_kept_where_it_is_off(configure, faulty, issuer, arrive):
    with lab.running(configure(issuer, port=lab.free_port(), recheck_seconds=0)) as portal:
        arrive(at=portal)
        assert kept(portal, faulty) is None


def test_rounds_begin_with_the_portal_and_end_with_it(
    configure, faulty, issuer, arrive, monkeypatch
):
    monkeypatch.setattr("mcp_portal.recheck.EACH", 0.0005)
    with lab.running(configure(issuer, port=lab.free_port(), recheck_seconds=60)) as portal:
        sam = arrive(at=portal)
        ends_at = time.monotonic() + 20
        while not faulty.asked_again:
            assert time.monotonic() < ends_at, "nobody was asked about"
            time.sleep(0.02)  # a round begins each 30 ms
        assert is_signed_in(sam)
    assert faulty.asked_again == ["sam"]


@pytest.mark.parametrize("seconds", [-1, 1, 59, 3601])
def test_interval_is_one_that_a_provider_can_live_with(configure, seconds):
    with pytest.raises(ConfigError, match="recheck_seconds must be 0, or from 60 to 3600"):
        configure("https://sso.example.internal", recheck_seconds=seconds)


# --- replicas and the store ---------------------------------------------------------------------


@pytest.fixture
def replicas(issuer, configure, tmp_path, redis_server):
    shared = {"redis_url_file": str(tmp_path / "redis"), "recheck_seconds": 3600}
    first = configure(issuer, port=lab.free_port(), **shared)
    second = configure(issuer, port=conftest.SECOND_PORT, **shared)
    with lab.running(first) as one, lab.running(second) as two:
        yield one, two


def test_replicas_ask_about_a_person_once_in_an_interval(
    replicas, arrive, faulty, litellm, redis_server
):
    client = redis.Redis.from_url(redis_server.url(2))
    counted = f"portal:recheck:{id_of(faulty)}"
    one, two = replicas
    sam = arrive(at=one)
    key_of(sam)
    for portal in (one, two, one):
        again(portal)
    assert faulty.asked_again == ["sam"] and 3200 < client.ttl(counted) <= 3240
    leave(faulty)
    client.delete(counted)
    again(two)
    assert not is_signed_in(sam) and litellm.live_keys() == []
    assert client.get(f"portal:{place(id_of(faulty))}") is None


def test_store_tells_no_refresh_token_and_believes_none_of_others(
    replicas, arrive, faulty, redis_server
):
    client = redis.Redis.from_url(redis_server.url(2))
    sam = arrive(at=replicas[0])
    again(replicas[0])
    kept_there = everything(redis_server.url(2))
    assert b"standing:" in kept_there and b"refresh-" not in kept_there
    assert b"payments" not in kept_there
    record = f"portal:{place(id_of(faulty))}"
    theirs = {"refresh_token": "x", "ends_at": time.time() + 60, "teams": [], "administers": []}
    for forged in (b"x", Seal("guessed").close("standing", id_of(faulty), theirs)):
        client.set(record, forged, ex=60)
        client.delete(f"portal:recheck:{id_of(faulty)}")
        again(replicas[0])
    assert faulty.asked_again == ["sam"] and is_signed_in(sam)


def test_value_is_swapped_for_just_the_one_that_was_read(redis_server):
    async def tried(store):
        await store.put("x", b"1", 60)
        assert not await store.swap("x", b"2", b"3", 60)
        assert await store.swap("x", b"1", b"2", 60) and await store.get("x") == b"2"
        assert not await store.swap("x", b"1", None)
        assert await store.swap("x", b"2", None) and await store.get("x") is None
        assert not await store.swap("x", b"2", b"3", 60) and await store.get("x") is None
        await store.close()

    asyncio.run(tried(MemoryStore()))
    asyncio.run(tried(RedisStore(redis.asyncio.Redis.from_url(redis_server.url(2)))))


def test_of_two_who_swap_at_once_one_does(redis_server):
    async def tried():
        store = RedisStore(redis.asyncio.Redis.from_url(redis_server.url(2)))
        await store.put("x", b"1", 60)
        swaps = [store.swap("x", b"1", b"%d" % number, 60) for number in range(2, 12)]
        assert sum(await asyncio.gather(*swaps)) == 1
        await store.close()

    asyncio.run(tried())


def test_rounds_go_on_whatever_happens_in_one(portal, monkeypatch):
    recheck, seen = portal.app.state.recheck, []

    async def fails():
        seen.append(1)
        if len(seen) < 3:
            raise RuntimeError("of any kind")
        await asyncio.Event().wait()

    async def rounds():
        monkeypatch.setattr(recheck, "round", fails)
        monkeypatch.setattr(recheck, "_seconds", 0)
        running = asyncio.create_task(recheck.run())
        while len(seen) < 3:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])

    portal.call(rounds())
    assert len(seen) == 3
