"""Who is calling: static keys, LiteLLM's answers and outages, OIDC tokens, and nobody else."""

from __future__ import annotations

import asyncio
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from support import KEY, Legacy, Modern, Scripted, gateway, plain, raw, sha256, text_of

GOOD = "sk-good-key-of-ada-1"
MINTED = "sk-made-by-mallory-1"
KNOWN = {"known_teams": ["blue"], "known_keys": ["ci", "ci-old-*"]}
# LiteLLM's name for the bearer of the master key.
MADE_BY_ADMIN = {"created_by": "default_user_id", "updated_by": "default_user_id"}


class FakeLitellm:
    """Answers /key/info as LiteLLM 1.106 does: 200 with info, 401 for what it does not know."""

    def __init__(self):
        self.keys = {GOOD: {"key_alias": "ada", "team_id": "blue", **MADE_BY_ADMIN}}
        self.status = None
        self.asked = 0
        self.hold = None

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader, writer):
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.asked += 1
                assert head.startswith("GET /key/info ")
                if self.hold is not None:
                    await self.hold.wait()
                token = head.split("uthorization: Bearer ", 1)[1].split("\r\n")[0]
                token = token.replace("Bearer ", "")
                if self.status:
                    await raw(writer, b"{}", self.status)
                elif token in self.keys:
                    body = {"key": "hash", "info": self.keys[token]}
                    await raw(writer, json.dumps(body).encode())
                else:
                    await raw(writer, b'{"error":{"message":"bad"}}', "401 Unauthorized")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def litellm(fake, **options):
    return {"litellm": {"url": fake.url, "timeout_seconds": 2, **options}}


async def status(gw, key):
    return (await Modern(gw, key=key).send("tools/list")).status_code


async def test_a_virtual_key_is_looked_up_once_and_named_in_the_audit(tmp_path):
    audit = tmp_path / "audit.jsonl"
    async with (
        FakeLitellm() as fake,
        gateway(auth=litellm(fake), audit={"file": str(audit)}) as gw,
    ):
        for _ in range(3):
            assert await status(gw, GOOD) == 200
        assert fake.asked == 1
        line = gw.audit()[-1]
        assert (line["caller"], line["team"]) == ("ada", "blue")
        assert GOOD not in audit.read_text()


async def test_unknown_keys_get_401_and_are_remembered_too():
    async with FakeLitellm() as fake, gateway(auth=litellm(fake)) as gw:
        assert [await status(gw, "sk-unknown-key-00000") for _ in range(3)] == [401] * 3
        assert fake.asked == 1


@pytest.mark.parametrize("spelling", ["Bearer {}", "Bearer Bearer {}", "sk-Bearer {}", "{} x"])
async def test_a_key_is_one_caller_however_it_is_written(spelling):
    """LiteLLM takes these for the same key; limits are a caller's."""
    key = spelling.format(GOOD.removeprefix("sk-") if spelling.startswith("sk-") else GOOD)
    async with FakeLitellm() as fake, gateway(auth=litellm(fake)) as gw:
        assert await status(gw, key) == 401
        header = {"x-litellm-api-key": f"Bearer {GOOD}"}
        answer = await gw.http.post("/mcp", json={}, headers=header)
        assert answer.status_code == 400  # known, and nothing asked


async def test_a_revoked_key_is_refused_when_the_cache_ends():
    async with FakeLitellm() as fake, gateway(auth=litellm(fake, cache_seconds=0)) as gw:
        assert await status(gw, GOOD) == 200
        del fake.keys[GOOD]
        assert await status(gw, GOOD) == 401


PRIVILEGED = {"key_alias": "chief", "metadata": {"groups": ["admins"]}, "team_alias": "blue"}
BOSSES = {
    "default": "deny",
    "rules": [{"name": "bosses", "keys": ["chief"], "groups": ["admins"], "teams": ["blue"]}],
}


@pytest.mark.parametrize(
    "makers",
    [
        {"created_by": "mallory", "updated_by": "mallory"},
        {"created_by": "default_user_id", "updated_by": "mallory"},
        {"created_by": "mallory", "updated_by": "default_user_id"},
        {"created_by": "mallory"},
        {},
    ],
)
async def test_what_a_caller_may_choose_opens_nothing(makers):
    """Alias, groups and a team's alias are words of whoever made or changed the key."""
    async with (
        FakeLitellm() as fake,
        gateway({"one": plain()}, auth=litellm(fake), policy=BOSSES) as gw,
    ):
        await gw.up()
        fake.keys[MINTED] = {**PRIVILEGED, "team_id": None, "user_id": "chief", **makers}
        fake.keys[GOOD] = {**PRIVILEGED, **MADE_BY_ADMIN}
        call = {"name": "one__echo", "arguments": {"text": "x"}}
        refused, allowed = [await Modern(gw, key=k).ask("tools/call", call) for k in (MINTED, GOOD)]
        assert "policy default: deny" in json.dumps(refused["error"])
        assert text_of(allowed) == "x"


@pytest.mark.parametrize(
    ("info", "expected", "caller"),
    [
        ({"key_alias": "x"}, "the key 'x' without a team", "x"),
        ({"key_alias": "x", "team_id": "red"}, "in the unknown team 'red'", "x"),
        (
            {"key_alias": "ci", "created_by": "mallory"},
            "a key that no administrator made",
            f"key-{sha256(GOOD)[:8]}",
        ),
    ],
)
async def test_keys_that_policy_does_not_know_are_refused_and_told_why(
    info, expected, caller, tmp_path
):
    audit = {"file": str(tmp_path / "audit.jsonl")}
    async with FakeLitellm() as fake, gateway(auth=litellm(fake, **KNOWN), audit=audit) as gw:
        fake.keys[GOOD] = {**MADE_BY_ADMIN, **info}
        for _remembered in range(2):
            answer = await Modern(gw, key=GOOD).send("tools/list")
            assert answer.status_code == 403
            assert expected in answer.json()["error"]["message"]
        assert fake.asked == 1
        assert [(line["caller"], line["error"]) for line in gw.audit()] == [
            (caller, "forbidden")
        ] * 2


@pytest.mark.parametrize(
    "info",
    [
        {"key_alias": "ci"},
        {"key_alias": "ci-old-1234"},
        {"key_alias": "x", "team_id": "blue"},
        {"key_alias": "x", "team_id": "blue", "created_by": "mallory"},
    ],
)
async def test_keys_that_policy_knows_are_let_in(info):
    async with FakeLitellm() as fake, gateway(auth=litellm(fake, **KNOWN)) as gw:
        fake.keys[GOOD] = {**MADE_BY_ADMIN, **info}
        assert await status(gw, GOOD) == 200


@pytest.mark.parametrize(
    "info", [{"blocked": True}, {"expires": "2020-01-01T00:00:00Z"}, {"expires": "2020-01-01"}]
)
async def test_blocked_and_expired_keys_are_refused(info):
    async with FakeLitellm() as fake, gateway(auth=litellm(fake)) as gw:
        fake.keys[GOOD] |= info
        assert await status(gw, GOOD) == 401


async def test_many_callers_with_one_new_key_ask_once():
    async with FakeLitellm() as fake, gateway(auth=litellm(fake)) as gw:
        fake.hold = asyncio.Event()
        tasks = [asyncio.create_task(status(gw, GOOD)) for _ in range(10)]
        while gw.gateway.metrics.in_flight._value.get() < 10:
            await asyncio.sleep(0)
        fake.hold.set()
        assert await asyncio.gather(*tasks) == [200] * 10
        assert fake.asked == 1


async def test_an_outage_keeps_known_callers_and_gives_503_to_new_ones():
    async with FakeLitellm() as fake, gateway(auth=litellm(fake, cache_seconds=0)) as gw:
        assert await status(gw, GOOD) == 200
        fake.status = "500 Internal Server Error"
        assert await status(gw, GOOD) == 200
        refused = await Modern(gw, key="sk-a-new-key-0000000").send("tools/list")
        assert refused.status_code == 503
        assert "retry-after" in refused.headers


async def test_after_the_grace_period_known_callers_get_503():
    options = {"cache_seconds": 0, "grace_seconds": 0}
    async with FakeLitellm() as fake, gateway(auth=litellm(fake, **options)) as gw:
        assert await status(gw, GOOD) == 200
        fake.status = "502 Bad Gateway"
        assert await status(gw, GOOD) == 503


async def test_no_credential_is_told_where_to_get_one():
    keys = [{"alias": "ada", "sha256": sha256(KEY)}]
    async with gateway(auth={"static_keys": keys}) as gw:
        refused = await gw.http.post("/servers/one/mcp", json={})
        assert refused.status_code == 401
        challenge = refused.headers["www-authenticate"]
        url = challenge.split('resource_metadata="')[1].split('"')[0]
        metadata = (await gw.http.get(url)).json()
        assert metadata["resource"] == f"{gw.base}/servers/one/mcp"
        assert 'error="invalid_token"' not in challenge
        wrong = await Modern(gw, key="wrong").send("tools/list")
        assert wrong.status_code == 401
        assert 'error="invalid_token"' in wrong.headers["www-authenticate"]


@pytest.mark.parametrize("form", ["sha256", "key_file", "key_env", "file"])
async def test_static_keys_come_in_every_form(form, tmp_path, monkeypatch):
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("A_KEY", KEY)
    entry = {
        "sha256": {"sha256": sha256(KEY)},
        "key_file": {"key_file": str(tmp_path / "key")},
        "key_env": {"key_env": "A_KEY"},
        "file": {"sha256": sha256(KEY)},
    }[form]
    keys = [{"alias": "ada", "team": "blue", **entry}]
    auth: dict = {"static_keys": keys}
    if form == "file":
        (tmp_path / "keys.yml").write_text(json.dumps(keys))
        auth = {"static_keys_file": str(tmp_path / "keys.yml")}
    async with gateway(auth=auth) as gw:
        assert await status(gw, KEY) == 200
        assert await status(gw, KEY + "x") == 401


async def test_the_callers_credential_and_cookies_never_reach_a_server():
    keys = [{"alias": "ada", "sha256": sha256(KEY)}]
    async with Scripted() as up:
        upstream = {"type": "http", "url": up.url, "headers": {"X-Own": "yes"}}
        async with gateway({"one": upstream}, auth={"static_keys": keys}) as gw:
            client = Modern(gw, key=KEY)
            client.headers |= {"cookie": "session=secret", "x-api-key": KEY}
            client.headers["traceparent"] = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
            assert text_of(await client.call("one__act")) == "acted"
            for message, headers in up.seen:
                assert KEY not in json.dumps([message, headers])
                assert "cookie" not in headers and "authorization" not in headers
                assert headers["x-own"] == "yes"
            assert up.seen[-1][1]["traceparent"].startswith("00-aaaa")


async def test_an_upstream_that_refuses_the_gateway_does_not_send_the_client_to_log_in():
    async def refuse(message, headers, writer):
        await raw(writer, b"{}", "401 Unauthorized")

    async with Scripted(refuse) as up, gateway({"one": {"type": "http", "url": up.url}}) as gw:
        answer = await Modern(gw).send("tools/call", {"name": "one__act", "arguments": {}})
        assert answer.status_code == 200
        assert answer.json()["error"]["data"]["reason"] == "credentials"


class Issuer:
    """An OIDC issuer with keys that rotate."""

    def __init__(self):
        self.keys = {}
        self.fetched = 0
        self.metadata = {}  # what it publishes besides

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    def rotate(self, kid, algorithm="RS256"):
        key = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )
        self.keys[kid] = (key, algorithm)

    def token(self, kid, **claims):
        key, algorithm = self.keys[kid]
        claims = {
            "iss": self.url,
            "aud": "mcp-gateway",
            "sub": "u1",
            "preferred_username": "ada",
            "groups": ["dev"],
            "team": "blue",
            "exp": time.time() + 60,
            **claims,
        }
        claims = {k: v for k, v in claims.items() if v is not None}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})

    async def _serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"openid-configuration" in head:
                    body = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **self.metadata}
                else:
                    self.fetched += 1
                    body = {"keys": [self._jwk(kid) for kid in self.keys]}
                await raw(writer, json.dumps(body).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _jwk(self, kid):
        key, algorithm = self.keys[kid]
        kind = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}
        return {
            **json.loads(kind[algorithm].to_jwk(key.public_key())),
            "kid": kid,
            "use": "sig",
            "alg": algorithm,
        }


def oidc(issuer, **options):
    return {"oidc": [{"issuer": issuer.url, "audience": "mcp-gateway", **options}]}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_valid_token_names_caller_team_and_groups(algorithm, tmp_path):
    async with Issuer() as issuer:
        issuer.rotate("k1", algorithm)
        audit = {"file": str(tmp_path / "audit")}
        async with gateway(auth=oidc(issuer), audit=audit) as gw:
            assert await status(gw, issuer.token("k1")) == 200
            assert (gw.audit()[-1]["caller"], gw.audit()[-1]["team"]) == ("ada", "blue")
            metadata = (await gw.http.get("/.well-known/oauth-protected-resource")).json()
            assert metadata["authorization_servers"] == [issuer.url]


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"aud": "somebody-else"},
        {"aud": None},
        {"nbf": time.time() + 3600},
        {"sub": None},  # Keycloak's, for a client without its scope `basic`
        {"sub": ""},
    ],
)
async def test_expired_foreign_early_and_nameless_tokens_are_refused(claims):
    async with Issuer() as issuer, gateway(auth=oidc(issuer)) as gw:
        issuer.rotate("k1")
        assert await status(gw, issuer.token("k1", **claims)) == 401


async def test_one_of_several_audiences_is_enough():
    audiences = ["mcp-gateway", "https://ai.example.internal/mcp"]
    async with Issuer() as issuer, gateway(auth=oidc(issuer, audience=audiences)) as gw:
        issuer.rotate("k1")
        assert await status(gw, issuer.token("k1", aud=audiences[1])) == 200
        assert await status(gw, issuer.token("k1", aud=["x", "mcp-gateway"])) == 200
        assert await status(gw, issuer.token("k1", aud="https://ai.example.internal")) == 401


async def test_groups_give_the_team_where_there_is_a_table(tmp_path):
    table = [{"group": "dev", "team": "green"}, {"group": "ops", "team": "red"}]
    audit = {"file": str(tmp_path / "audit")}
    async with Issuer() as issuer, gateway(auth=oidc(issuer, teams=table), audit=audit) as gw:
        issuer.rotate("k1")
        for groups, team in ((["x", "ops", "dev"], "green"), ("ops", "red")):
            assert await status(gw, issuer.token("k1", groups=groups)) == 200
            assert gw.audit()[-1]["team"] == team, "not what the token says of teams"
        for groups in (["x"], None, {"dev": 1}):
            assert await status(gw, issuer.token("k1", groups=groups)) == 403


async def test_forged_tokens_are_refused():
    async with Issuer() as issuer, Issuer() as other, gateway(auth=oidc(issuer)) as gw:
        issuer.rotate("k1")
        other.rotate("k1")
        assert await status(gw, other.token("k1", iss=issuer.url)) == 401
        assert await status(gw, other.token("k1")) == 401
        unsigned = jwt.encode({"iss": issuer.url, "aud": "mcp-gateway"}, None, algorithm="none")
        assert await status(gw, unsigned) == 401
        secret = jwt.encode(
            {"iss": issuer.url, "aud": "mcp-gateway", "exp": time.time() + 60},
            "k" * 32,
            algorithm="HS256",
            headers={"kid": "k1"},
        )
        assert await status(gw, secret) == 401


async def test_a_missing_scope_is_refused_and_a_given_one_is_not():
    async with Issuer() as issuer, gateway(auth=oidc(issuer, required_scopes=["mcp"])) as gw:
        issuer.rotate("k1")
        assert await status(gw, issuer.token("k1")) == 401
        assert await status(gw, issuer.token("k1", scope="openid mcp")) == 200


async def test_rotated_keys_are_fetched_when_first_seen():
    async with Issuer() as issuer, gateway(auth=oidc(issuer)) as gw:
        issuer.rotate("k1")
        assert await status(gw, issuer.token("k1")) == 200
        issuer.rotate("k2")
        authority = gw.gateway.identification.authorities[0]
        authority._tried_at = -100.0  # as if the last look was long ago
        assert await status(gw, issuer.token("k2")) == 200
        assert issuer.fetched == 2
        for _ in range(5):  # unknown key ids in a row do not ask the issuer each time
            issuer.keys["k9"] = issuer.keys["k1"]
            token = issuer.token("k9")
            del issuer.keys["k9"]
            assert await status(gw, token) == 401
        assert issuer.fetched <= 3


async def test_an_issuer_that_is_away_means_503_for_new_callers():
    async with Issuer() as issuer:
        issuer.rotate("k1")
        token = issuer.token("k1")
        auth = oidc(issuer)
    async with gateway(auth=auth) as gw:
        assert await status(gw, token) == 503


async def test_a_trusted_outer_gateway_keeps_its_callers_apart():
    keys = [{"alias": "outer", "sha256": sha256(KEY)}]
    listen = {"trust_caller_header": True}
    async with gateway(auth={"static_keys": keys}, listen=listen) as gw:
        ada = Legacy(gw, key=KEY)
        ada.headers["mcp-gateway-caller"] = "ada"
        await ada.initialize()
        assert (await ada.send("ping")).status_code == 200
        ada.headers["mcp-gateway-caller"] = "bob"
        assert (await ada.send("tools/list")).status_code == 404
