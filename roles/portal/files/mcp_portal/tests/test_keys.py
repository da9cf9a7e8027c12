"""Keys and settings that people are handed, and how all of it ends."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile

import lab
import pytest

MADE = re.compile(r"<pre[^>]*>(sk-[^<]+)</pre>")


def test_key_belongs_to_person_and_team_and_ends_with_the_sign_in(portal, sign_in, litellm):
    shown = sign_in(portal, "alice").submit("/portal/connect", "/portal/key", team="payments")
    key = MADE.search(shown.text)[1]
    made = litellm.keys[key]
    assert made["team_id"] == "payments" and made["user_id"] in litellm.users
    assert made["allowed_routes"] == lab.ROUTES
    assert 12 * 3600 - 60 < int(made["duration"].removesuffix("s")) <= 12 * 3600
    assert made["key_alias"].startswith("sso-"), "no name that people choose"
    assert litellm.users[made["user_id"]]["user_role"] == "internal_user_viewer"
    assert shown.headers["cache-control"] == "no-store"


def test_team_of_others_is_not_given(portal, sign_in, litellm):
    sign_in(portal, "alice").submit("/portal/connect", "/portal/key", team="research")
    assert {key["team_id"] for key in litellm.live_keys()} == {"payments"}


def test_key_is_shown_once(portal, sign_in):
    alice = sign_in(portal, "alice")
    key = MADE.search(alice.submit("/portal/connect", "/portal/key").text)[1]
    assert key not in alice.get("/portal/connect").text


def test_pages_ask_with_a_key_that_calls_no_model(portal, sign_in, litellm):
    alice = sign_in(portal, "alice")
    for page in ("models", "tools", "models"):
        assert alice.get(f"/portal/{page}").status_code == 200
    (page_key,) = litellm.live_keys()
    assert page_key["allowed_routes"] == ["/v1/models", "/key/info"]
    alice.submit("/portal/overview", "/portal/sign-out")
    assert litellm.live_keys() == [], "it ends with the session"


def test_settings_of_clis_are_shown_without_a_key(portal, sign_in):
    connect = sign_in(portal, "alice").get("/portal/connect").text
    assert "~/.codex/config.toml" in connect and "model = &#34;qwen3:8b&#34;" in connect


def test_bundle_has_the_key(portal, sign_in, litellm):
    answer = sign_in(portal, "alice").submit("/portal/connect", "/portal/bundle")
    assert "attachment" in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as bundle:
        key = bundle.extractfile("intranet-mcp/files/key").read().decode().strip()
    assert key in litellm.keys


def test_one_line_installs_once(portal, sign_in, litellm, tmp_path):
    shown = sign_in(portal, "alice").submit("/portal/connect", "/portal/line").text
    assert litellm.live_keys() == [], "made when the line is run"
    address = re.search(r"curl -fsS (\S+) \| sh", shown)[1]
    script = lab.httpx2.get(address, trust_env=False)
    home = tmp_path / "home"
    home.mkdir()
    ran = subprocess.run(
        ["sh"],
        input=script.text,
        capture_output=True,
        text=True,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert ran.returncode == 0 and f"installed for {home}" in ran.stdout, ran.stderr
    key_file = home / ".config/intranet-mcp/bundle/files/key"
    assert key_file.read_text().strip() in litellm.keys
    assert key_file.stat().st_mode & 0o077 == 0
    again = lab.httpx2.get(address, trust_env=False)
    assert again.status_code == 404 and "used already" in again.text


def test_line_is_not_offered_where_it_could_not_be_fetched(provider, configure, sign_in, tmp_path):
    config = configure(provider.issuer)
    (tmp_path / "site.json").write_text(lab.json.dumps({**lab.SITE, "has_own_ca": True}))
    with lab.running(config) as portal:
        connect = sign_in(portal, "alice").get("/portal/connect").text
    assert "/portal/line" not in connect and "who signed this page" in connect
    assert "/portal/bundle" in connect


def test_line_ends_with_its_session(portal, sign_in):
    alice = sign_in(portal, "alice")
    shown = alice.submit("/portal/connect", "/portal/line").text
    alice.submit("/portal/overview", "/portal/sign-out")
    address = re.search(r"curl -fsS (\S+) \| sh", shown)[1]
    assert lab.httpx2.get(address, trust_env=False).status_code == 404


def test_team_without_settings_is_told_so(portal, provider, sign_in):
    provider.change("fred", preferred_username="fred", groups=["research"])
    fred = sign_in(portal, "fred")
    assert "/portal/bundle" not in fred.get("/portal/connect").text
    refused = fred.submit("/portal/connect", "/portal/bundle")
    assert refused.status_code == 404 and "no settings for your team" in refused.text


def test_end_all_my_sessions_ends_sessions_and_keys_of_this_person_alone(
    portal, provider, sign_in, litellm
):
    laptop, phone = sign_in(portal, "alice"), sign_in(portal, "alice")
    provider.change("gina", preferred_username="gina", groups=["dev-payments"])
    gina = sign_in(portal, "gina")
    for browser in (laptop, gina):
        browser.submit("/portal/connect", "/portal/key")
    ended = phone.submit("/portal/overview", "/portal/end-sessions")
    assert "1 keys were revoked" in ended.text
    assert laptop.get("/portal/overview").status_code == 303
    assert phone.get("/portal/overview").status_code == 303
    assert gina.get("/portal/overview").status_code == 200
    assert len(litellm.live_keys()) == 1


def test_litellm_away_ends_sessions_all_the_same(portal, sign_in, litellm):
    laptop, phone = sign_in(portal, "alice"), sign_in(portal, "alice")
    litellm.status = 503
    answer = phone.submit("/portal/overview", "/portal/end-sessions")
    assert answer.status_code == 502 and "LiteLLM" in answer.text
    assert laptop.get("/portal/overview").status_code == 303


@pytest.mark.parametrize("page", ["models", "tools", "usage"])
def test_litellm_away_is_one_clear_message(portal, sign_in, litellm, page):
    alice = sign_in(portal, "alice")
    litellm.served.stop()
    answer = alice.get(f"/portal/{page}")
    assert answer.status_code == 503 and "(LiteLLM) does not answer" in answer.text
    assert alice.get("/portal/overview").status_code == 200


def test_answer_of_litellm_is_not_repeated_to_people(portal, sign_in, litellm):
    alice = sign_in(portal, "alice")
    litellm.status = 500
    answer = alice.submit("/portal/connect", "/portal/key")
    assert answer.status_code == 502 and "HTTP 500" in answer.text
    assert "sk-secret" not in answer.text


def test_gateway_away_is_one_clear_message(portal, sign_in, gateway):
    alice = sign_in(portal, "alice")
    gateway.served.stop()
    answer = alice.get("/portal/tools")
    assert answer.status_code == 503 and "tools&#39; gateway does not answer" in answer.text


def test_keys_are_not_made_without_end(portal, sign_in):
    alice = sign_in(portal, "alice")
    seen = [alice.submit("/portal/connect", "/portal/key").status_code for _number in range(21)]
    assert seen[:20] == [200] * 20 and seen[20] == 429


@pytest.mark.parametrize("path", ["key", "line", "bundle", "sign-out", "end-sessions"])
def test_form_of_another_site_does_nothing(portal, sign_in, litellm, path):
    alice = sign_in(portal, "alice")
    for fields in ({}, {"csrf": ""}, {"csrf": "guessed"}):
        answer = alice.http.post(f"{portal.url}/portal/{path}", data=fields)
        assert answer.status_code == 403 and "not made for this session" in answer.text
        assert alice.get(f"/portal/{path}").status_code == 404, "a link does nothing either"
    assert litellm.live_keys() == []
    assert alice.get("/portal/overview").status_code == 200
