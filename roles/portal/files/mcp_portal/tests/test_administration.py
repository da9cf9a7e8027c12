"""Pages for administrators: who gets them, what they show, and what they end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import conftest
import lab
import msgspec
import pytest
import redis
import redis.asyncio
from mcp_portal import administration, administrators, credentials, sessions, words
from mcp_portal.directory import Directory, Known
from mcp_portal.litellm import MADE_BY, Keys
from mcp_portal.people import Person
from mcp_portal.seal import Seal
from mcp_portal.settings import ConfigError, Litellm, Membership
from mcp_portal.store import MemoryStore, RedisStore

ADMINS = "platform-admins"
PAGE = "/portal/people"
PERSONAL = {**lab.SITE, "personal": {"tickets": "https://tickets.example.internal"}}
MARKUP = "<script>alert(1)</script>\"'>"
NOBODY = "0123456789abcdef"
SECRET = "a-key-for-credentials-of-the-tests-0123456789"


@pytest.fixture
def issuer(faulty):
    return faulty.issuer


@pytest.fixture
def redis_server(redis_server, tmp_path, monkeypatch):
    """A Redis of this process: sessions at /2, what people stored for servers at /3."""
    monkeypatch.setattr(credentials, "REDIS_SECONDS", 30)
    (tmp_path / "records").write_text(redis_server.url(3))
    (tmp_path / "credentials-key").write_text(SECRET)
    return redis_server


@pytest.fixture
def config(redis_server, configure, issuer, tmp_path):
    kept = {
        "key_file": str(tmp_path / "credentials-key"),
        "redis_url_file": str(tmp_path / "records"),
    }
    made = configure(
        issuer,
        credentials=kept,
        redis_url_file=str(tmp_path / "redis"),
        administrator_groups=[ADMINS],
    )
    Path(made.site_file).write_text(json.dumps(PERSONAL))
    return made


@pytest.fixture
def arrive(arrive, portal):
    """`arrive(name, *groups)` returns a browser in which this person has signed in."""

    def arrived(name="sam", *groups, at=portal, **claims):
        theirs = {"preferred_username": name, "email": f"{name}@example.internal"}
        theirs["groups"] = ["dev-payments", *groups]
        return arrive(name, at, "people", **{**theirs, **claims})

    return arrived


def id_of(name, issuer):
    return hashlib.sha256(f"{issuer}\0{name}".encode()).hexdigest()[:16]


@pytest.fixture
def addresses(issuer):
    """Every address of these pages that is about Sam."""
    sam = f"{PAGE}/{id_of('sam', issuer)}"
    return [PAGE, sam, f"{sam}/end", f"{sam}/tokens"]


def make_key(browser):
    """Have a key made, as people do."""
    shown = browser.submit("/portal/connect", "/portal/key")
    return re.search(r"<pre[^>]*>(sk-[^<]+)</pre>", shown.text)[1]


# --- who gets the pages -------------------------------------------------------------------------


def test_administrator_has_the_page_in_the_menu(arrive):
    boss = arrive("boss", ADMINS)
    assert f'href="{PAGE}"' in boss.get("/portal/overview").text
    assert boss.get(PAGE).status_code == 200


@pytest.mark.parametrize(
    "groups",
    [["dev-payments"], "dev-payments", ["dev-payments", f"x{ADMINS}"], ["dev-payments", [ADMINS]]],
)
def test_member_who_is_no_administrator_gets_404_everywhere(
    arrive, addresses, litellm, groups, caplog
):
    sam = arrive("sam", groups=groups)
    make_key(sam)
    token = re.search(r'name="csrf" value="([^"]+)"', sam.get("/portal/overview").text)[1]
    for address in [*addresses, f"{PAGE}/{NOBODY}", f"{PAGE}/{NOBODY}/end"]:
        assert sam.get(address).status_code == 404
        for fields in ({}, {"csrf": token}, {"csrf": "guessed"}):
            answer = sam.http.post(sam.base + address, data=fields)
            assert answer.status_code == 404 and "no such page" in answer.text
    assert PAGE not in sam.get("/portal/overview").text
    assert len(litellm.live_keys()) == 1
    assert "mcp_portal.audit" not in {record.name for record in caplog.records}


def test_group_claim_may_be_text(arrive, config, faulty):
    teams = [{"group": ADMINS, "team": "payments"}]
    changed = {"oidc": msgspec.structs.replace(config.oidc, teams=_rows(teams))}
    with lab.running(_elsewhere(config, **changed)) as other:
        assert arrive("boss", at=other, groups=ADMINS).get(PAGE).status_code == 200


def test_without_the_setting_there_are_no_such_pages(arrive, config, addresses, redis_server):
    with lab.running(_elsewhere(config, administrator_groups=[])) as other:
        boss, stranger = arrive("boss", ADMINS, at=other), lab.Browser(other.url)
        for browser in (boss, stranger):
            for address in addresses:
                assert browser.get(address).status_code == 404
                assert browser.http.post(other.url + address).status_code == 404
        assert PAGE not in boss.get("/portal/overview").text
    names = redis.Redis.from_url(redis_server.url(2)).keys("portal:person:*")
    assert names == [], "nor is anybody noted"


def test_who_has_not_signed_in_is_sent_to_do_so(portal, addresses):
    stranger = lab.Browser(portal.url)
    for address in addresses:
        answer = stranger.get(address)
        assert answer.status_code == 303 and answer.headers["location"].endswith("next=people")
    posted = stranger.http.post(portal.url + addresses[2])
    assert posted.status_code == 303 and posted.headers["location"].endswith("next=people")


def test_group_that_is_named_no_more_makes_nobody_an_administrator(arrive, config):
    boss = arrive("boss", ADMINS)
    with lab.running(_elsewhere(config, administrator_groups=["others"])) as other:
        boss.base = other.url
        assert boss.get("/portal/overview").status_code == 200
        assert boss.get(PAGE).status_code == 404


def test_who_left_the_group_loses_the_pages_with_the_next_sign_in(arrive, faulty):
    boss = arrive("boss", ADMINS)
    faulty.claims = {**faulty.claims, "groups": ["dev-payments"]}
    back = boss.http.get(boss.get("/portal/sign-in").headers["location"])
    boss.http.get(back.headers["location"])
    assert boss.get("/portal/overview").status_code == 200
    assert boss.get(PAGE).status_code == 404


def test_groups_are_asked_for_again_after_an_hour(arrive, addresses, monkeypatch):
    boss = arrive("boss", ADMINS)
    boss.get(PAGE)
    monkeypatch.setattr(administrators, "FRESH_SECONDS", 0)
    for address in addresses:
        answer = boss.get(address)
        assert answer.status_code == 303 and answer.headers["location"].endswith("next=people")
    assert boss.http.post(boss.base + addresses[2]).status_code == 303
    assert boss.get("/portal/overview").status_code == 200, "the other pages go on"


def test_administrators_are_told_by_groups_that_a_session_has():
    session = {"person": {}, administrators.KEY: ["a"], "signed_in_at": 100}
    assert administrators.is_one(session, ["a", "b"])
    assert not administrators.is_one(session, ["b"]) and not administrators.is_one(session, [])
    assert not administrators.is_one({administrators.KEY: ["a"]}, ["a"]), "nobody signed in"
    assert administrators.is_fresh(session, 100 + administrators.FRESH_SECONDS - 1)
    assert not administrators.is_fresh(session, 100 + administrators.FRESH_SECONDS)
    assert administrators.groups_of("a", ["a", "b"]) == ["a"]
    for claim in (None, 7, {"a": 1}, [["a"]], "ab", ["A"], ""):
        assert administrators.groups_of(claim, ["a"]) == []


def test_group_without_a_name_is_refused(configure, issuer):
    with pytest.raises(ConfigError, match="administrator_groups has an empty name"):
        configure(issuer, administrator_groups=["a", ""])


# --- what they show -----------------------------------------------------------------------------


def test_list_tells_sessions_keys_and_cost_and_no_key(arrive, issuer):
    boss, sam = arrive("boss", ADMINS), arrive("sam")
    arrive("sam")
    key = make_key(sam)
    text = boss.get(PAGE).text
    assert "sam@example.internal" in text and "payments" in text and "UTC" in text
    row = re.search(r"<tr>(?:(?!</tr>).)*sam@example(?:(?!</tr>).)*</tr>", text, re.S)[0]
    assert re.findall(r'<td class="n">([^<]+)</td>', row) == ["2", "1", "0.25"]
    assert key not in text and "hash-" not in text
    one = boss.get(f"{PAGE}/{id_of('sam', issuer)}").text
    assert f"sso-{id_of('sam', issuer)}-" in one and "programs" in one and "4,200" in one
    assert key not in one and "hash-" not in one


def test_keys_that_ended_or_are_not_the_portals_are_not_shown(arrive, issuer, litellm):
    boss, sam = arrive("boss", ADMINS), arrive("sam")
    litellm.keys[make_key(sam)]["expires"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    user = f"sso-{id_of('sam', issuer)}"
    declared = {"managed_by": "intranet.mcp/teams"}
    for owner, metadata in (("alice", declared), (user, declared), (user, {}), (user, None)):
        name = f"sk-{len(litellm.keys)}"
        litellm.keys[name] = {
            "user_id": owner, "key_alias": f"inventory-{owner}", "token": f"hash-{name}",
            "metadata": metadata,
        }  # fmt: skip
    one = boss.get(f"{PAGE}/{id_of('sam', issuer)}").text
    assert "No key that was made here works" in one and "inventory-" not in one
    assert "the playbook to revoke those" in one
    assert "alice" not in boss.get(PAGE).text
    before = dict(litellm.keys)
    done = boss.submit(f"{PAGE}/{id_of('sam', issuer)}/end", f"{PAGE}/{id_of('sam', issuer)}/end")
    assert "Keys revoked: 0" in done.text and litellm.keys == before


def test_who_has_keys_is_found_although_the_store_forgot_them(arrive, issuer, redis_server):
    make_key(arrive("sam"))
    redis.Redis.from_url(redis_server.url(2)).flushdb()
    boss = arrive("boss", ADMINS)
    text = boss.get(f"{PAGE}?q=sam").text
    assert f"{PAGE}/{id_of('sam', issuer)}" in text and ">sam<" in text
    assert ">sam<" in boss.get(f"{PAGE}/{id_of('sam', issuer)}").text


def test_search_and_pages_are_bounded(arrive, config, redis_server):
    boss = arrive("boss", ADMINS)
    client = redis.Redis.from_url(redis_server.url(2))
    seal = Seal("a-client-secret-of-the-tests")
    for number in range(60):
        person = Person(f"{number:016d}", f"Person {number:02}", "p@x", ["research"])
        client.set(f"portal:person:{person.id}", seal.close("person", person.id, Known(person, 1)))
    links = lambda path: len(re.findall(rf'<a href="{PAGE}/[0-9a-f]{{16}}"', boss.get(path).text))  # noqa: E731
    assert [links(f"{PAGE}?page={number}") for number in (1, 2, 3, 99999)] == [25, 25, 11, 11]
    assert "Page 1 of 3" in boss.get(PAGE).text
    for wrong in ("0", "-1", "x", "9" * 50, "²", ""):
        assert links(f"{PAGE}?page={wrong}") == 25
    assert links(f"{PAGE}?q=PERSON+5") == 15, "by name"
    for logged in (f"sso-{59:016d}", f"sso-{59:016d}-0123abcd"):
        assert links(f"{PAGE}?q={logged}") == 1, "by the name in the audit log"
    assert links(f"{PAGE}?q=research+person+59") == 1 and links(f"{PAGE}?q=nobody") == 0
    assert "page=2" in boss.get(f"{PAGE}?q=research").text


def test_record_that_others_wrote_is_nobody(arrive, redis_server, issuer):
    boss = arrive("boss", ADMINS)
    arrive("sam")
    client, sam = redis.Redis.from_url(redis_server.url(2)), id_of("sam", issuer)
    client.set("portal:person:../../x", b"x")
    client.set(b"portal:person:\xff", b"x")
    client.set(f"portal:person:{NOBODY}", client.get(f"portal:person:{sam}"))
    other, ours = "fedcba9876543210", Seal("a-client-secret-of-the-tests")
    client.set(f"portal:person:{other}", Seal("other").close("person", other, {}))
    client.set("portal:person:" + "0" * 16, ours.close("person", "0" * 16, {"person": 7}))
    text = boss.get(PAGE).text
    assert "People found: 2" in text
    assert boss.get(f"{PAGE}/{NOBODY}").status_code == 404


def test_redis_has_no_name_and_no_address(arrive, redis_server):
    arrive("sam-with-a-name")
    client = redis.Redis.from_url(redis_server.url(2))
    names = client.keys("*")
    texts = [client.get(name) for name in names if client.type(name) == b"string"]
    assert b"sam-with-a-name" not in b" ".join([*names, *texts])
    assert all(client.ttl(name) > 0 for name in names), "nothing is kept for ever"


def test_names_are_text(arrive, issuer):
    boss = arrive("boss", ADMINS)
    make_key(arrive("sam", preferred_username=MARKUP, email=MARKUP))
    sam = f"{PAGE}/{id_of('sam', issuer)}"
    for address in (PAGE, sam, f"{sam}/end", f"{sam}/tokens", f"{PAGE}?q={MARKUP}"):
        text = boss.get(address).text
        assert "<script" not in text and "&lt;script&gt;" in text, address
    done = boss.submit(f"{sam}/end", f"{sam}/end").text
    assert "<script" not in done and "&lt;script&gt;" in done


def test_two_people_of_one_name_are_told_apart_wherever_one_is_chosen(arrive, issuer):
    boss, same = arrive("boss", ADMINS), {"preferred_username": "sam", "email": "sam@x"}
    arrive("sam", **same)
    arrive("impostor", **same)
    ids = [f"sso-{id_of(sub, issuer)}" for sub in ("sam", "impostor")]
    shown = boss.get(PAGE).text
    assert all(shown.count(f"<code>{id_}</code>") == 1 for id_ in ids)
    sam = f"{PAGE}/{id_of('sam', issuer)}"
    for text in (boss.get(f"{sam}/end").text, boss.submit(f"{sam}/end", f"{sam}/end").text):
        assert ids[0] in text and ids[1] not in text


def test_name_that_litellm_tells_is_shown_as_one_of_the_provider(arrive, issuer, litellm):
    boss = arrive("boss", ADMINS)
    litellm.users[f"sso-{NOBODY}"] = {"user_alias": "\u202esam\n" + "x" * 500}
    text = boss.get(f"{PAGE}/{NOBODY}").text
    assert "sam" in text and "\u202e" not in text and "x" * 200 not in text


KEY_OF_SAM = {"token": "hash", "metadata": MADE_BY, "allowed_routes": [7, "x", None]}


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("/key/list", {"keys": [], "total_pages": "many"}),
        ("/key/list", {"keys": [], "total_pages": 10**9}),
        ("/key/list", {"keys": 7}),
        ("/key/list", {"keys": [None, 7, "x", {}], "total_pages": [1]}),
        ("/user/daily/activity", {"results": [{}]}),
        ("/user/daily/activity", {"results": ["x"], "metadata": "x"}),
        ("/user/daily/activity", {"results": [], "metadata": {"total_pages": 10**9}}),
    ],
)
def test_odd_answer_of_litellm_is_told_and_hides_nobody(
    arrive, issuer, litellm, path, reply, caplog
):
    caplog.set_level(logging.INFO)
    boss, sam = arrive("boss", ADMINS), arrive("sam")
    litellm.replies[path] = reply
    address = f"{PAGE}/{id_of('sam', issuer)}"
    for page in (PAGE, address):
        shown = boss.get(page)
        assert shown.status_code == 200 and shown.text.count('role="alert"') == 1
        assert "sam@example.internal" in shown.text
    done = boss.submit(f"{address}/end", f"{address}/end")
    assert sam.get("/portal/overview").status_code == 303 and len(audited(caplog)) == 1
    assert ("Only a part was done" in done.text) == (path == "/key/list")


def test_odd_key_is_shown_all_the_same(arrive, issuer, litellm):
    boss, user = arrive("boss", ADMINS), f"sso-{id_of('sam', issuer)}"
    arrive("sam")
    odd = {"created_at": "0001-01-01T00:00:00+14:00", "expires": 7, "key_alias": ["odd"]}
    litellm.keys["odd"] = {**KEY_OF_SAM, "user_id": user, **odd}
    shown = boss.get(f"{PAGE}/{id_of('sam', issuer)}")
    assert shown.status_code == 200 and "odd" in shown.text and "programs" in shown.text


def test_who_signs_in_all_day_makes_few_keys(arrive, litellm):
    seen = []
    for _ in range(11):
        sam = arrive("sam", "research")
        seen += [sam.get(f"/portal/models?team={t}").status_code for t in ("payments", "research")]
    assert seen == [200] * 20 + [429] * 2 and len(litellm.live_keys()) == 20


def test_page_does_not_say_of_keys_that_it_shows_that_they_are_not_shown(arrive, issuer, litellm):
    boss, sam = arrive("boss", ADMINS), arrive("sam")
    make_key(sam)
    litellm.replies["/user/daily/activity"] = {"results": [{}]}
    for page in (PAGE, f"{PAGE}/{id_of('sam', issuer)}"):
        text = boss.get(page).text
        assert "Sessions can be ended all the same" in text
        assert "Keys and usage are not shown" not in text


@pytest.mark.parametrize("path", ["/key/list", "/user/daily/activity"])
def test_slow_litellm_does_not_hold_up_the_pages(arrive, issuer, litellm, path, monkeypatch):
    boss = arrive("boss", ADMINS)
    arrive("sam")
    monkeypatch.setattr(administration, "SECONDS", 0.2)
    for page in (PAGE, f"{PAGE}/{id_of('sam', issuer)}"):
        answered = threading.Event()
        litellm.meanwhile[path] = lambda answered=answered: answered.wait(15)
        shown = boss.get(page)
        assert not answered.is_set() and shown.status_code == 200
        assert "sam@example.internal" in shown.text and "does not answer" in shown.text
        answered.set()


@pytest.mark.parametrize(
    "id_",
    [
        NOBODY, "x", NOBODY.upper().replace("A", "G"), f"{NOBODY}%0A", f"{NOBODY}0",
        "..%2F..%2Fcredentials", "%2e%2e", f"sso-{NOBODY}", "*", "%00", "令牌",
    ],
)  # fmt: skip
def test_id_of_nobody_is_no_page(arrive, id_, litellm):
    boss = arrive("boss", ADMINS)
    token = re.search(r'name="csrf" value="([^"]+)"', boss.get("/portal/overview").text)[1]
    for path in (f"{PAGE}/{id_}", f"{PAGE}/{id_}/end", f"{PAGE}/{id_}/tokens"):
        assert boss.get(path).status_code == 404
        assert boss.http.post(boss.base + path, data={"csrf": token}).status_code == 404
    assert "/key/delete" not in litellm.asked


def test_pages_are_there_in_chinese_and_have_the_headers_of_all(arrive, issuer):
    boss = arrive("boss", ADMINS)
    arrive("sam")
    sam = f"{PAGE}/{id_of('sam', issuer)}"
    for address in (PAGE, sam, f"{sam}/end", f"{sam}/tokens"):
        answer = boss.get(address, headers={"accept-language": "zh-CN"})
        assert 'lang="zh-CN"' in answer.text and words.say("en", "menu_people") not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:", answer.text)


# --- what they end ------------------------------------------------------------------------------


def test_administrator_ends_sessions_and_keys_of_one_person_alone(arrive, issuer, litellm, caplog):
    caplog.set_level(logging.INFO)
    boss, laptop, phone, kim = arrive("boss", ADMINS), arrive("sam"), arrive("sam"), arrive("kim")
    key, kims = make_key(laptop), make_key(kim)
    end = f"{PAGE}/{id_of('sam', issuer)}/end"
    confirm = boss.get(end).text
    assert "sam@example.internal" in confirm and 'method="post"' in confirm
    assert key in litellm.keys and laptop.get("/portal/overview").status_code == 200, "only asked"
    done = boss.submit(end, end)
    assert done.status_code == 200
    assert "Sessions ended for sam: 2." in done.text and "Keys revoked: 1" in done.text
    assert laptop.get("/portal/overview").status_code == 303
    assert phone.get("/portal/overview").status_code == 303
    assert list(litellm.keys) == [kims] and kim.get("/portal/overview").status_code == 200
    assert boss.get(PAGE).status_code == 200
    (line,) = audited(caplog)
    assert line == (
        f"administrator sso-{id_of('boss', issuer)} 'boss': end sessions and keys of "
        f"sso-{id_of('sam', issuer)} 'sam': 2 sessions ended, 1 keys revoked"
    )
    everything = "\n".join(r.getMessage() for r in caplog.records if "mcp_portal" in r.name)
    for secret in (key, boss.http.cookies["portal"], lab.PORTAL_KEY):
        assert secret not in everything


def test_key_that_was_being_made_ends_too(arrive, issuer, litellm):
    boss, thief = arrive("boss", ADMINS), arrive("sam")
    end = f"{PAGE}/{id_of('sam', issuer)}/end"
    litellm.meanwhile["/key/generate"] = lambda: boss.submit(end, end)
    assert thief.submit("/portal/connect", "/portal/key").status_code == 303
    assert litellm.live_keys() == []


def test_redis_away_ends_nothing_and_is_logged(arrive, issuer, litellm, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    boss, sam = arrive("boss", ADMINS), arrive("sam")
    make_key(sam)
    end = f"{PAGE}/{id_of('sam', issuer)}/end"
    token = re.search(r'name="csrf" value="([^"]+)"', boss.get(end).text)[1]

    async def away(_store, _index):
        raise redis.exceptions.ConnectionError("away")

    monkeypatch.setattr(RedisStore, "noted", away)
    assert boss.http.post(boss.base + end, data={"csrf": token}).status_code == 503
    assert len(litellm.live_keys()) == 1
    assert audited(caplog)[0].endswith("sessions failed, keys untouched")


def test_administrator_may_end_their_own(arrive, issuer):
    boss = arrive("boss", ADMINS)
    end = f"{PAGE}/{id_of('boss', issuer)}/end"
    assert "Sessions ended for boss: 1" in boss.submit(end, end).text
    assert boss.get("/portal/overview").status_code == 303


@pytest.mark.parametrize("path", ["end", "tokens"])
def test_form_of_another_session_does_nothing(arrive, issuer, path, caplog):
    caplog.set_level(logging.INFO)
    boss, other, sam = arrive("boss", ADMINS), arrive("boss", ADMINS), arrive("sam")
    address = f"{PAGE}/{id_of('sam', issuer)}/{path}"
    foreign = re.search(r'name="csrf" value="([^"]+)"', other.get(address).text)[1]
    boss.get(address)
    for fields in ({}, {"csrf": ""}, {"csrf": "guessed"}, {"csrf": foreign}):
        answer = boss.http.post(boss.base + address, data=fields)
        assert answer.status_code == 403 and "not made for this session" in answer.text
    assert boss.get(address).status_code == 200, "a link asks, and does nothing"
    assert sam.get("/portal/overview").status_code == 200 and audited(caplog) == []


def test_litellm_away_ends_sessions_and_says_that_keys_are_left(arrive, issuer, litellm, caplog):
    caplog.set_level(logging.INFO)
    boss, sam = arrive("boss", ADMINS), arrive("sam")
    key = make_key(sam)
    address = f"{PAGE}/{id_of('sam', issuer)}"
    litellm.status = 503
    for page in (PAGE, address):
        shown = boss.get(page)
        assert shown.status_code == 200 and "Sessions can be ended all the same" in shown.text
        assert shown.text.count('role="alert"') == 1 and "sam@example.internal" in shown.text
    done = boss.submit(f"{address}/end", f"{address}/end")
    assert done.status_code == 502 and "Only a part was done" in done.text
    assert "Sessions ended for sam: 1." in done.text and "Keys were not revoked" in done.text
    assert "Keys revoked" not in done.text and "sk-secret" not in done.text
    assert sam.get("/portal/overview").status_code == 303 and key in litellm.keys
    assert audited(caplog)[0].endswith("1 sessions ended, keys failed (litellm_refused)")
    litellm.status = 200
    again = boss.submit(f"{address}/end", f"{address}/end")
    assert "Keys revoked: 1" in again.text and litellm.live_keys() == []


def test_somebody_whom_only_litellm_would_know_waits_for_it(arrive, litellm):
    boss = arrive("boss", ADMINS)
    litellm.served.stop()
    answer = boss.get(f"{PAGE}/{NOBODY}")
    assert answer.status_code == 503 and "(LiteLLM) does not answer" in answer.text


def test_administrator_deletes_stored_tokens_of_one_person_alone(
    arrive, issuer, redis_server, caplog
):
    caplog.set_level(logging.INFO)
    boss, sam, kim = arrive("boss", ADMINS), arrive("sam"), arrive("kim")
    for browser in (sam, kim):
        fields = {"server": "tickets", "token": "ghp_of-the-tests"}
        browser.submit("/portal/credentials", "/portal/credentials/store", **fields)
    address = f"{PAGE}/{id_of('sam', issuer)}/tokens"
    records = redis.Redis.from_url(redis_server.url(3))
    boss.get(address)
    assert len(records.keys()) == 2, "only asked"
    assert "Stored tokens deleted for sam: 1." in boss.submit(address, address).text
    assert records.keys() == [f"credentials:{id_of('kim', issuer)}".encode()]
    assert sam.get("/portal/overview").status_code == 200, "sessions go on"
    assert audited(caplog)[0].endswith(f"of sso-{id_of('sam', issuer)} 'sam': 1 deleted")
    assert "ghp_" not in caplog.text


def test_tokens_cannot_be_deleted_where_nobody_stores_any(arrive, config, issuer):
    Path(config.site_file).write_text(json.dumps(lab.SITE))
    with lab.running(_elsewhere(config, credentials=None)) as other:
        boss = arrive("boss", ADMINS, at=other)
        address = f"{PAGE}/{id_of('boss', issuer)}"
        assert "/tokens" not in boss.get(address).text
        assert boss.get(f"{address}/tokens").status_code == 404
        assert boss.submit(f"{address}/end", f"{address}/tokens").status_code == 404


def test_line_of_the_log_cannot_be_forged(arrive, issuer, caplog):
    caplog.set_level(logging.INFO)
    boss = arrive("boss", ADMINS)
    arrive("sam", preferred_username="sam\nadministrator 'x'\u2028")
    end = f"{PAGE}/{id_of('sam', issuer)}/end"
    boss.submit(end, end)
    (line,) = audited(caplog)
    assert "\n" not in line and "\u2028" not in line


# --- pieces -------------------------------------------------------------------------------------


def test_record_in_memory_ends_by_itself():
    async def tried():
        store = MemoryStore()
        known = Directory(store, Seal("own"))
        person = Person(NOBODY, "sam", "", ["payments"])
        await known.note(person, 5)
        assert await known.one(NOBODY) == Known(person, 5)
        assert await known.everybody() == {NOBODY: Known(person, 5)}
        assert await Directory(store, Seal("another")).everybody() == {}
        await store.put(f"person:{NOBODY}", b"x", 0)
        assert await known.everybody() == {} and await known.sessions(NOBODY) == 0

    asyncio.run(tried())


def test_terminal_that_connects_while_all_ends_is_ended_too():
    """It found its session just before that was deleted; so it stays, and was noted."""

    class Store(MemoryStore):
        async def delete(self, *names):
            if "session:laptop" in names:
                await self.put("login:terminal", b"x", 60)
                await self.note(sessions.index_of(NOBODY), "login:terminal", 60)
            return await super().delete(*names)

    async def tried():
        store = Store()
        await store.put("session:laptop", b"x", 60)
        await store.note(sessions.index_of(NOBODY), "session:laptop", 60)
        assert await sessions.end_all(store, NOBODY) == 2
        assert await store.get("login:terminal") is None
        assert await store.noted(sessions.index_of(NOBODY)) == []

    asyncio.run(tried())


def test_what_ends_soon_does_not_make_the_list_of_sessions_end(redis_server):
    """A terminal that is connected late; else a session that lasts longer could not be ended."""

    async def tried():
        store = RedisStore(redis.asyncio.Redis.from_url(redis_server.url(2)))
        await store.note("sessions-of:x", "session:a", 1000)
        await store.note("sessions-of:x", "login:b", 5)
        assert redis.Redis.from_url(redis_server.url(2)).ttl("portal:sessions-of:x") > 900
        await store.note("sessions-of:x", "session:c", 5000)
        assert redis.Redis.from_url(redis_server.url(2)).ttl("portal:sessions-of:x") > 4900
        await store.close()

    asyncio.run(tried())


def test_sessions_are_counted_at_once_however_many_a_member_began(redis_server):
    class Store(RedisStore):
        async def get(self, name):
            raise AssertionError("one by one")

    async def tried():
        store = Store(redis.asyncio.Redis.from_url(redis_server.url(2)))
        for number in range(50):
            await store.note(sessions.index_of(NOBODY), f"session:{number}", 60)
            if number % 2:
                await store.put(f"session:{number}", b"x", 60)
        known = Directory(store, Seal("own"))
        assert await known.sessions(NOBODY) == 25
        assert await known.sessions("another") == 0
        assert await sessions.end_all(store, NOBODY) == 25
        assert await known.sessions(NOBODY) == 0
        await store.close()

    asyncio.run(tried())


def test_thousands_of_keys_are_revoked_a_few_at_a_time(tmp_path):
    """All at once they would wait for each other longer than for LiteLLM."""
    (tmp_path / "key").write_text(lab.PORTAL_KEY)
    now, most, deleted = 0, 0, []
    hashes = [f"hash-{number}" for number in range(1000)]

    async def answered(request):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        if request.url.path == "/key/delete":
            deleted.append(json.loads(request.content)["keys"])
        return lab.httpx2.Response(200, json={})

    async def tried():
        keys = Keys(Litellm("http://litellm", str(tmp_path / "key"), lab.ROUTES))
        transport = lab.httpx2.MockTransport(answered)
        keys._http = lab.httpx2.AsyncClient(base_url="http://litellm", transport=transport)
        await keys.revoke(hashes)
        await keys.close()

    asyncio.run(tried())
    assert most <= 50 and max(map(len, deleted)) <= 50
    assert [key for some in deleted for key in some] == hashes


def audited(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "mcp_portal.audit"]


def _elsewhere(config, **changes):
    """The same at another port."""
    listen = {"port": conftest.SECOND_PORT}
    listen["public_url"] = f"http://127.0.0.1:{conftest.SECOND_PORT}"
    changes["listen"] = msgspec.structs.replace(config.listen, **listen)
    return msgspec.structs.replace(config, **changes)


def _rows(rows):
    return [Membership(**row) for row in rows]
