"""Tokens that people store for tool servers: on the page, in Redis, and nowhere else."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from pathlib import Path

import conftest
import lab
import msgspec
import pytest
import redis
from mcp_portal import cli, credentials, own_tokens, tokens, words
from mcp_portal.app import build
from mcp_portal.settings import ConfigError
from mcp_portal.vault import Vault

sys.path.append(str(conftest.REPOSITORY / "roles/gateway/files/mcp_gateway/src"))

from mcp_gateway import ownheader
from mcp_gateway import vault as gateway_vault

SECRET = "a-key-for-credentials-of-the-tests-0123456789"
TOKEN = "ghp_a-token-of-the-tests"
PAGE = "/portal/credentials"
STORE, DELETE = f"{PAGE}/store", f"{PAGE}/delete"
AUDIENCE = "https://tickets.example.internal"
PERSONAL = {**lab.SITE, "personal": {"tickets": AUDIENCE}}


@pytest.fixture
def issuer(faulty):
    return faulty.issuer


@pytest.fixture
def records(tmp_path, monkeypatch):
    """A Redis, as a client of it; a file has its address."""
    # It is a thread of this process, and machines may be busy.
    monkeypatch.setattr(credentials, "REDIS_SECONDS", 30)
    server = lab.Redis()
    (tmp_path / "records").write_text(server.url(3))
    (tmp_path / "credentials-key").write_text(SECRET)
    client = redis.Redis.from_url(server.url(3))
    yield client
    client.close()
    server.stop()


@pytest.fixture
def config(records, configure, issuer, tmp_path):
    kept = {
        "key_file": str(tmp_path / "credentials-key"),
        "redis_url_file": str(tmp_path / "records"),
    }
    made = configure(issuer, credentials=kept)
    Path(made.site_file).write_text(json.dumps(PERSONAL))
    return made


def person_of(records):
    """The only person who stored something."""
    (name,) = records.keys()
    return name.decode().removeprefix("credentials:")


def test_token_is_stored_encrypted_for_the_gateway_and_shown_to_nobody(arrive, records):
    sam = arrive()
    assert "No token is stored" in sam.get(PAGE).text
    assert sam.submit(PAGE, STORE, server="tickets", token=f"  {TOKEN}\r\n").status_code == 303
    page = sam.get(PAGE).text
    assert "A token is stored since" in page and "UTC" in page and TOKEN not in page
    person = person_of(records)
    kept = records.hget(f"credentials:{person}", "tickets")
    assert TOKEN.encode() not in kept
    vault = gateway_vault.Vault(SECRET)
    assert gateway_vault.place(person) == f"credentials:{person}"
    assert vault.open(person, "tickets", kept, AUDIENCE).text == TOKEN
    assert vault.open(person, "files", kept, AUDIENCE) is None
    assert vault.open("0" * 16, "tickets", kept, AUDIENCE) is None
    assert vault.open(person, "tickets", kept, "https://elsewhere.example.internal") is None
    assert 89 * 86400 < records.ttl(f"credentials:{person}") <= 90 * 86400


def test_token_is_replaced_and_deleted(arrive, records):
    sam = arrive()
    for token in (TOKEN, "another-token"):
        sam.submit(PAGE, STORE, server="tickets", token=token)
    person = person_of(records)
    kept = records.hget(f"credentials:{person}", "tickets")
    opened = gateway_vault.Vault(SECRET).open(person, "tickets", kept, AUDIENCE)
    assert opened.text == "another-token"
    assert "Replace" in sam.get(PAGE).text
    assert sam.submit(PAGE, DELETE, server="tickets").status_code == 303
    assert records.keys() == [] and "No token is stored" in sam.get(PAGE).text


def test_two_people_have_each_their_own(arrive, records):
    sam, kim = arrive("sam"), arrive("kim")
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    assert "No token is stored" in kim.get(PAGE).text
    kim.submit(PAGE, DELETE, server="tickets")
    assert "A token is stored" in sam.get(PAGE).text and len(records.keys()) == 1


@pytest.mark.parametrize(
    "token",
    ["", "  ", "a b", "Bearer abc", "a\r\nx-admin: 1", "a\nb", "a\0b", "ä", "令牌", "x" * 4097],
)
def test_what_could_not_be_sent_as_it_is_is_not_stored(arrive, records, token):
    answer = arrive().submit(PAGE, STORE, server="tickets", token=token)
    assert answer.status_code == 400 and "visible characters" in answer.text
    assert records.keys() == []


def test_portal_and_gateway_agree_on_what_a_token_is():
    assert tokens.MAX_TOKEN == ownheader.MAX_TOKEN
    assert tokens.TOKEN.pattern == ownheader.TOKEN.pattern
    assert ownheader.is_token("x" * 4096)


@pytest.mark.parametrize("path", [STORE, DELETE])
def test_form_of_elsewhere_changes_nothing(arrive, portal, records, path):
    sam = arrive()
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    before = records.hgetall(f"credentials:{person_of(records)}")
    other = re.search(r'name="csrf" value="([^"]+)"', arrive("kim").get(PAGE).text)[1]
    for csrf in ({}, {"csrf": "x"}, {"csrf": other}):
        data = {"server": "tickets", "token": "planted", **csrf}
        answer = sam.http.post(portal.url + path, data=data)
        assert answer.status_code == 403
    stranger = lab.Browser(portal.url).http.post(portal.url + path, data={"server": "tickets"})
    assert stranger.status_code == 303 and "sign-in" in stranger.headers["location"]
    assert sam.get(path).status_code == 404
    assert records.hgetall(f"credentials:{person_of(records)}") == before


@pytest.mark.parametrize("server", ["", "files", "nothing", "tickets\n", "../tickets", "x" * 5000])
def test_server_that_asks_for_none_takes_none(arrive, records, server):
    answer = arrive().submit(PAGE, STORE, server=server, token=TOKEN)
    assert answer.status_code == 404 and records.keys() == []


def test_file_in_the_place_of_a_token_is_none(arrive, portal, records):
    sam = arrive()
    csrf = re.search(r'name="csrf" value="([^"]+)"', sam.get(PAGE).text)[1]
    files = {"token": ("token", b"x")}
    data = {"csrf": csrf, "server": "tickets"}
    answer = sam.http.post(portal.url + STORE, data=data, files=files)
    assert answer.status_code == 400 and records.keys() == []


def test_page_is_there_in_chinese_and_asks_for_a_hidden_value(arrive):
    page = arrive().get(PAGE, headers={"accept-language": "zh-CN"}).text
    assert "我的令牌" in page and "尚未存储令牌" in page and 'lang="zh-CN"' in page
    assert 'type="password" autocomplete="off"' in page
    assert words.say("en", "menu_credentials") not in page


def test_record_of_a_server_that_left_can_be_deleted(arrive, records):
    sam = arrive()
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    place = f"credentials:{person_of(records)}"
    records.hset(place, "<script>gone", records.hget(place, "tickets"))
    page = sam.get(PAGE).text
    assert "not there any more" in page and "&lt;script&gt;gone" in page and "<script" not in page
    sam.submit(PAGE, DELETE, server="<script>gone")
    assert records.hkeys(place) == [b"tickets"]


def test_record_of_another_key_is_told(arrive, records):
    sam = arrive()
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    person = person_of(records)
    vault, another = Vault(SECRET), Vault("x" * 40)
    elsewhere = vault.seal(person, "tickets", TOKEN, 1, "https://elsewhere.example.internal")
    somebody = vault.seal("0" * 16, "tickets", TOKEN, 1, AUDIENCE)
    other_key = another.seal(person, "tickets", TOKEN, 1, AUDIENCE)
    for record in (other_key, elsewhere, somebody, b"junk", b""):
        records.hset(f"credentials:{person}", "tickets", record)
        assert "cannot be used any more" in sam.get(PAGE).text
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    assert "A token is stored since" in sam.get(PAGE).text


def test_number_of_tokens_and_of_changes_is_bounded(arrive, records, monkeypatch):
    sam = arrive()
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    place = f"credentials:{person_of(records)}"
    records.hdel(place, "tickets")
    for number in range(credentials.MAX_STORED):
        records.hset(place, f"gone-{number}", b"x")
    answer = sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    assert answer.status_code == 403 and "Delete one first" in answer.text
    monkeypatch.setattr(own_tokens, "CHANGES", 3)
    sam.submit(PAGE, DELETE, server="gone-0")
    answer = sam.submit(PAGE, DELETE, server="gone-1")
    assert answer.status_code == 429
    assert records.hlen(place) == credentials.MAX_STORED - 1


def test_what_is_stored_stays_when_sessions_end(arrive, records):
    sam = arrive()
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    sam.submit("/portal/overview", "/portal/end-sessions")
    assert sam.get(PAGE).status_code == 303
    assert "A token is stored" in arrive().get(PAGE).text


def test_administrator_deletes_what_somebody_stored(arrive, records, config, capsys, tmp_path):
    sam, kim = arrive("sam"), arrive("kim")
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    person = person_of(records)
    kim.submit(PAGE, STORE, server="tickets", token=TOKEN)
    assert cli.delete_credentials(config, f"sso-{person}") == f"sso-{person}: 1 credentials deleted"
    assert "No token is stored" in sam.get(PAGE).text
    assert "A token is stored" in kim.get(PAGE).text
    again = cli.delete_credentials(config, f"sso-{person}-0123abcd")  # a key of theirs
    assert again == f"sso-{person}: 0 credentials deleted"
    for name in ("sam", "*", "sso-*", person, f"sso-{person}\n", f"sso-{person}-"):
        with pytest.raises(ConfigError, match="expected sso-"):
            cli.delete_credentials(config, name)


def test_redis_that_is_away_is_said_so(arrive, records, tmp_path, config, caplog):
    sam = arrive()
    (tmp_path / "records").write_text(f"redis://:password-of-redis@127.0.0.1:{lab.free_port()}/3")
    with lab.running(lab.msgspec.structs.replace(config, listen=_listen(config))) as other:
        there = lab.Browser(other.url)
        began = there.get("/portal/sign-in")
        back = there.http.get(began.headers["location"])
        arrived = back.headers["location"]
        there.http.get(arrived)
        answer = there.get(PAGE)
    assert sam.get(PAGE).status_code == 200
    assert answer.status_code == 503 and "Stored tokens cannot be read" in answer.text
    assert "password-of-redis" not in answer.text + caplog.text


def _listen(config):
    port = lab.free_port()
    return lab.msgspec.structs.replace(
        config.listen, port=port, public_url=f"http://127.0.0.1:{port}"
    )


def test_log_has_no_token(arrive, records, caplog):
    caplog.set_level(logging.DEBUG)
    sam = arrive()
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    sam.submit(PAGE, STORE, server="tickets", token=f"{TOKEN} {TOKEN}")
    sam.submit(PAGE, STORE, server="files", token=TOKEN)
    sam.submit(PAGE, DELETE, server="tickets")
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("mcp_portal"))
    assert TOKEN not in ours and SECRET not in ours


def test_page_is_missing_where_no_server_asks_for_a_token(configure, issuer, faulty):
    with lab.running(configure(issuer)) as served:
        browser = lab.Browser(served.url)
        back = browser.http.get(browser.get("/portal/sign-in").headers["location"])
        browser.http.get(back.headers["location"])
        assert "My tokens" not in browser.get("/portal/overview").text
        assert browser.get(PAGE).status_code == 404
        assert browser.submit("/portal/overview", DELETE, server="tickets").status_code == 404


def test_servers_without_a_place_for_tokens_are_refused(configure, issuer, config, tmp_path):
    made = configure(issuer)
    Path(made.site_file).write_text(json.dumps(PERSONAL))
    with pytest.raises(ConfigError, match="tickets: credentials is missing"):
        build(made)
    (tmp_path / "credentials-key").write_text("short")
    with pytest.raises(ConfigError, match="found 5 characters, expected at least 32"):
        build(config)


def test_a_record_says_when_it_was_made():
    now = int(time.time())
    vault = Vault(SECRET)
    sealed = vault.seal("p", "s", TOKEN, now, "a")
    assert vault.stored_at("p", "s", sealed, "a") == now
    for other in (("q", "s", sealed, "a"), ("p", "t", sealed, "a"), ("p", "s", sealed, "b")):
        assert vault.stored_at(*other) is None


@pytest.mark.parametrize("stored_at", [-1, 0, 2**40, 2**63 - 1, -(2**63)])
def test_whoever_may_write_redis_does_not_take_the_page_away(arrive, records, stored_at):
    """A date is believed where the rest of its record is; names may be any bytes."""
    sam = arrive()
    sam.submit(PAGE, STORE, server="tickets", token=TOKEN)
    place = f"credentials:{person_of(records)}"
    kept = msgspec.msgpack.decode(records.hget(place, "tickets"))
    records.hset(place, "tickets", msgspec.msgpack.encode([kept[0], stored_at, *kept[2:]]))
    records.hset(place, b"\xff\xfe", b"x")
    page = sam.get(PAGE)
    assert page.status_code == 200 and "cannot be used any more" in page.text
    assert sam.submit(PAGE, STORE, server="tickets", token=TOKEN).status_code == 303
    assert "A token is stored since" in sam.get(PAGE).text
