"""Programs sign their people in at the portal, and get tokens for the gateway."""

from __future__ import annotations

import time

import conftest
import lab
import msgspec
import program
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from mcp_portal import people
from mcp_portal.app import build
from program import OTHER_RESOURCE, RESOURCE, Program, arrive, error


@pytest.fixture
def issuer(faulty):
    return faulty.issuer


@pytest.fixture
def section(tmp_path):
    """Its own part of the configuration."""
    return program.authorization(tmp_path)


@pytest.fixture
def portal(issuer, configure, section):
    with lab.running(configure(issuer, **section)) as served:
        yield served


@pytest.fixture
def sam(portal):
    return arrive(portal)


def claims(portal, token):
    """What the gateway reads, once the signature is good."""
    keys = KeySet.import_key_set(lab.Browser(portal.url).get("/portal/oauth/keys").json())
    decoded = jwt.decode(token, keys, algorithms=["ES256"])
    assert decoded.header["typ"] == "at+jwt"
    return decoded.claims


def test_metadata_is_where_clients_expect_it(portal):
    browser, issuer = lab.Browser(portal.url), f"{portal.url}/portal"
    there = "/.well-known/oauth-authorization-server/portal"
    told = browser.get(there).json()
    assert told["issuer"] == issuer and told["jwks_uri"] == f"{issuer}/oauth/keys"
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["token_endpoint_auth_methods_supported"] == ["none"]
    assert told["authorization_response_iss_parameter_supported"] is True
    assert browser.get("/portal/.well-known/oauth-authorization-server").json() == told
    for path in (
        "/.well-known/openid-configuration/portal",
        "/portal/.well-known/openid-configuration",
    ):
        alias = browser.get(path).json()
        assert told.items() <= alias.items() and "subject_types_supported" in alias
    (key,) = browser.get("/portal/oauth/keys").json()["keys"]
    assert key["kty"] == "EC" and "d" not in key
    # The collection's tests have the same secret: the gateway is told the same key.
    assert key["kid"] == "hxKH0kwGutqCBlbTK6XXfkXsUtXidZfUc-tQbFSwKBc"


def test_program_gets_a_token_for_the_gateway_and_renews_it(portal, sam, faulty):
    codex = Program(portal)
    assert codex.registered.status_code == 201 and "client_secret" not in codex.registered.json()
    back = codex.allow(sam)
    assert back["state"] == codex.state and back["iss"] == f"{portal.url}/portal"
    answer = codex.redeem(back["code"])
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told["token_type"] == "Bearer" and told["expires_in"] == 300
    known = claims(portal, told["access_token"])
    assert known["iss"] == f"{portal.url}/portal" and known["aud"] == RESOURCE
    assert known["sub"] == people.id_of(faulty.issuer, "s1"), "as keys of the portal have it"
    assert known["team"] == "payments" and known["preferred_username"] == "sam"
    assert known["groups"] == [], "no rule names one"
    assert known["exp"] - known["iat"] == 300
    again = codex.renew(told["refresh_token"], resource=RESOURCE).json()
    assert again["refresh_token"] != told["refresh_token"]
    assert claims(portal, again["access_token"])["jti"] != known["jti"]
    assert codex.renew(again["refresh_token"]).status_code == 200


def test_person_signs_in_on_the_way_and_is_asked_then(portal):
    codex, browser = Program(portal), lab.Browser(portal.url)
    sent = browser.get(codex.address())
    assert sent.headers["location"] == "/portal/sign-in?next=authorize"
    program.pass_sign_in(browser, sent.headers["location"])
    assert browser.arrived.headers["location"] == "/portal/authorize"
    shown = browser.get("/portal/authorize")
    assert "Codex" in shown.text and "127.0.0.1:4711" in shown.text
    back = program.came_back(program.click(browser, shown, "allow"), codex.callback)
    assert codex.redeem(back["code"]).status_code == 200


def test_person_is_asked_each_time(portal, sam):
    codex = Program(portal)
    codex.tokens(sam)
    codex.begin()
    assert "It calls itself" in sam.get(codex.address()).text


def test_denied_is_told_to_the_program(portal, sam):
    codex = Program(portal)
    for answer in ("deny", "", "Allow"):
        back = codex.allow(sam, answer)
        assert back.pop("error_description")
        assert back == {
            "error": "access_denied",
            "state": codex.state,
            "iss": f"{portal.url}/portal",
        }


def test_page_says_in_the_chosen_language_who_asks_and_where_the_answer_goes(portal, sam):
    codex = Program(portal, client_name="<b>Codex</b>")
    shown = sam.get(codex.address())
    assert "&lt;b&gt;Codex&lt;/b&gt;" in shown.text and "<b>Codex" not in shown.text
    policy = shown.headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:4711;" in policy
    assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
    back = sam.get("/portal/language/zh?from=authorize")
    shown = sam.get(back.headers["location"])
    assert "一个程序请求使用工具" in shown.text and "127.0.0.1:4711" in shown.text


@pytest.mark.parametrize("callback", ["http://localhost:1/callback", "http://[::1]:2/callback"])
def test_every_port_of_the_persons_machine_is_good(portal, sam, callback):
    codex = Program(portal, callback)
    codex.callback = callback.replace(":1/", ":50001/").replace(":2/", ":50002/")
    assert codex.tokens(sam)["access_token"]


def test_declared_program_elsewhere_is_named(issuer, configure, tmp_path):
    there = "https://vscode.dev/redirect"
    section = program.authorization(tmp_path, redirect_uris=[there])
    with lab.running(configure(issuer, **section)) as portal:
        code = Program(portal, there)
        sam = arrive(portal)
        shown = sam.get(code.address())
        assert "vscode.dev uses the tools then" in shown.text
        assert "form-action 'self' https://vscode.dev;" in shown.headers["content-security-policy"]
        assert code.tokens(sam)["access_token"]


def test_person_of_two_teams_chooses_one(faulty, portal):
    faulty.claims["groups"] = ["research", "dev-payments"]
    sam, codex = arrive(portal), Program(portal)
    shown = sam.get(codex.address()).text
    assert "<option>payments</option>" in shown and "<option>research</option>" in shown
    code = codex.allow(sam, team="research")["code"]
    assert claims(portal, codex.redeem(code).json()["access_token"])["team"] == "research"
    codex.begin()
    code = codex.allow(sam, team="admins")["code"]
    assert claims(portal, codex.redeem(code).json()["access_token"])["team"] == "payments"


def test_token_has_the_groups_that_rules_name_and_no_others(faulty, issuer, configure, tmp_path):
    faulty.claims["groups"] = ["dev-payments", "staff", "contractors-x"]
    section = program.authorization(tmp_path, groups=["contractors-*", "nobody"])
    with lab.running(configure(issuer, **section)) as portal:
        token = Program(portal).tokens(arrive(portal))["access_token"]
        assert claims(portal, token)["groups"] == ["contractors-x"]
        faulty.claims["groups"] = ["dev-payments", *(f"contractors-{n}" for n in range(900))]
        refused = arrive(portal).get(Program(portal).address())
    assert refused.status_code == 403 and "more groups than fit" in refused.text


def test_name_that_is_another_once_it_is_made_readable_is_told_to_nobody(faulty, portal):
    codex = Program(portal)
    for name in ("sa\u200bm", " sam", "s" * 121):
        faulty.claims["preferred_username"] = name
        token = codex.tokens(arrive(portal))["access_token"]
        assert "preferred_username" not in claims(portal, token), "rules name people by it"
        codex.begin()


def test_person_without_a_team_gets_nothing(faulty, portal):
    faulty.claims["groups"] = ["staff"]
    browser, codex = lab.Browser(portal.url), Program(portal)
    sent = browser.get(codex.address())
    program.pass_sign_in(browser, sent.headers["location"])
    assert browser.arrived.status_code == 403
    assert "None of your groups" in browser.arrived.text
    assert browser.get("/portal/authorize").status_code == 303, "nobody is signed in"


def test_person_who_left_the_group_renews_nothing(faulty, portal, sam):
    codex = Program(portal)
    told = codex.tokens(sam)
    faulty.claims["groups"] = ["staff"]
    assert codex.renew(told["refresh_token"]).status_code == 200, "nobody has said so yet"
    told = codex.tokens(arrive_again(faulty, portal, ["dev-payments"]))
    arrive_again(faulty, portal, ["staff"])
    assert error(codex.renew(told["refresh_token"])) == (400, "invalid_grant")
    arrive_again(faulty, portal, ["research"])
    assert error(codex.renew(told["refresh_token"])) == (400, "invalid_grant")


def arrive_again(faulty, portal, groups):
    faulty.claims["groups"] = groups
    return arrive(portal)


def test_row_that_left_the_table_renews_nothing(faulty, configure, tmp_path, redis_server):
    shared = {"redis_url_file": str(tmp_path / "redis"), **program.authorization(tmp_path)}
    with lab.running(configure(faulty.issuer, **shared)) as portal:
        codex = Program(portal)
        told = codex.tokens(arrive(portal))
    other = {"teams": [{"group": "research", "team": "research"}]}
    with lab.running(configure(faulty.issuer, oidc=other, **shared)):
        assert error(codex.renew(told["refresh_token"])) == (400, "invalid_grant")


def test_rule_that_names_another_group_concerns_who_signed_in_before(
    faulty, configure, tmp_path, redis_server
):
    faulty.claims["groups"] = ["dev-payments", "contractors-x"]
    shared = {"redis_url_file": str(tmp_path / "redis")}
    section = program.authorization(tmp_path)
    with lab.running(configure(faulty.issuer, **shared, **section)) as portal:
        codex = Program(portal)
        told = codex.tokens(arrive(portal))
        assert claims(portal, told["access_token"])["groups"] == []
    section = program.authorization(tmp_path, groups=["contractors-*"])
    with lab.running(configure(faulty.issuer, **shared, **section)) as portal:
        told = codex.renew(told["refresh_token"]).json()
        assert claims(portal, told["access_token"])["groups"] == ["contractors-x"]


def test_end_all_my_sessions_ends_programs_too(portal, sam):
    codex, claude = Program(portal), Program(portal)
    told, code = codex.tokens(sam), claude.allow(sam)["code"]
    shown = sam.submit("/portal/overview", "/portal/end-sessions")
    assert "within 5 minutes" in shown.text
    assert error(codex.renew(told["refresh_token"])) == (400, "invalid_grant")
    assert error(claude.redeem(code)) == (400, "invalid_grant")


def test_tokens_end_with_the_sign_in(issuer, configure, section):
    with lab.running(configure(issuer, lifetime_seconds=300, **section)) as portal:
        codex = Program(portal)
        told = codex.tokens(arrive(portal))
        assert told["expires_in"] < 300
        known = claims(portal, told["access_token"])
        assert known["exp"] <= time.time() + 300


def test_replicas_share_everything(faulty, configure, tmp_path, redis_server):
    shared = {"redis_url_file": str(tmp_path / "redis"), **program.authorization(tmp_path)}
    first = configure(faulty.issuer, **shared)
    listen = msgspec.structs.replace(first.listen, port=conftest.SECOND_PORT)
    second = msgspec.structs.replace(first, listen=listen)
    with lab.running(first) as one, lab.running(second) as two:
        codex, sam = Program(one), arrive(one)
        sam.base = two.url
        code = codex.allow(sam)["code"]
        told = codex.redeem(code).json()
        codex.base = f"{two.url}/portal"
        assert codex.renew(told["refresh_token"]).status_code == 200
        keys = [lab.Browser(p.url).get("/portal/oauth/keys").json() for p in (one, two)]
    assert keys[0] == keys[1]


def test_without_it_nothing_is_there(issuer, configure):
    with lab.running(configure(issuer)) as portal:
        sam = arrive(portal)
        paths = [
            "/portal/authorize", "/portal/oauth/keys",
            "/.well-known/oauth-authorization-server/portal",
            "/.well-known/openid-configuration/portal",
            "/portal/.well-known/openid-configuration",
        ]  # fmt: skip
        assert {sam.get(path).status_code for path in paths} == {404}
        assert sam.http.post(f"{portal.url}/portal/oauth/register", json={}).status_code == 404
        assert (
            "Programs in which" not in sam.submit("/portal/overview", "/portal/end-sessions").text
        )


def test_other_resource_of_the_gateway_is_good_too(portal, sam):
    codex = Program(portal)
    code = codex.allow(sam, address=codex.address(resource=OTHER_RESOURCE))["code"]
    told = codex.redeem(code, resource=None).json()
    assert claims(portal, told["access_token"])["aud"] == OTHER_RESOURCE


def test_configuration_is_checked_without_a_request(configure, section):
    assert build(configure("https://sso.example.internal", **section))
