"""Access tokens of the platform's own portal, whose key the gateway is told."""

from __future__ import annotations

import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from mcp_gateway.auth.oidc import OidcTokens
from mcp_gateway.config import ConfigError, parse
from mcp_gateway.settings import OidcAuth
from support import free_port, gateway, plain

ISSUER = "https://ai.example.internal/portal"
AUDIENCE = "https://ai.example.internal/mcp"
PERSON = "0123456789abcdef"


def made_key(kid="first"):
    key = ec.generate_private_key(ec.SECP256R1())
    public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return key, {**public, "kid": kid, "use": "sig", "alg": "ES256"}


@pytest.fixture(scope="module")
def key():
    return made_key()


def settings(key, **changes):
    return OidcAuth(
        issuer=ISSUER, audience=[AUDIENCE], jwks=[key[1]], algorithms=["ES256"],
        subjects_are_people=True, **changes,
    )  # fmt: skip


def token(key, kid="first", algorithm="ES256", **changes):
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": PERSON, "iat": now, "exp": now + 300,
        "client_id": "program-x", "team": "payments", "groups": ["dev"],
        "preferred_username": "alice", **changes,
    }  # fmt: skip
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid, "typ": "at+jwt"})


async def test_person_is_whom_the_portal_says(key):
    who = await OidcTokens(settings(key)).identify(token(key[0]))
    assert (who.id, who.person, who.alias) == (PERSON, PERSON, "alice")
    assert (who.team, who.groups, who.refusal) == ("payments", ("dev",), "")


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example.internal/mcp"},
        {"aud": None},
        {"iss": "https://sso.example.internal"},
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"sub": "alice"},
        {"sub": "0123456789ABCDEF"},
        {"sub": None},
    ],
)
async def test_token_that_is_not_the_portals_or_for_something_else_is_refused(key, changes):
    assert await OidcTokens(settings(key)).identify(token(key[0], **changes)) is None


async def test_token_of_another_key_or_algorithm_is_refused(key):
    known = OidcTokens(settings(key))
    foreign = made_key()[0]
    for wrong in (
        token(foreign),
        token(key[0], kid="second"),
        token("a-secret-that-everybody-has-of-some-length", algorithm="HS256"),
        token("", algorithm="none"),
    ):
        assert await known.identify(wrong) is None
    with_hs = OidcTokens(settings(key))
    assert await with_hs.identify(token(key[0])) is not None


async def test_clients_are_told_of_announced_issuers_alone(key):
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    company = {
        "issuer": "https://sso.example.internal", "audience": ["tools"], "announced": False,
        "required_scopes": ["tools"],
    }  # fmt: skip
    own = {"issuer": ISSUER, "audience": [f"{base}/mcp"], "jwks": [key[1]]}
    own["subjects_are_people"] = True
    sections = {"auth": {"oidc": [company, own]}, "listen": {"public_url": base}}
    async with gateway({"s": plain()}, port=port, **sections) as gw:
        told = (await gw.http.get("/.well-known/oauth-protected-resource/mcp")).json()
        assert told["authorization_servers"] == [ISSUER] and "scopes_supported" not in told
        bearer = {"authorization": f"Bearer {token(key[0], aud=f'{base}/mcp')}"}
        assert (await gw.http.post("/mcp", headers=bearer, json={})).status_code == 400
        bearer = {"authorization": f"Bearer {token(key[0])}"}
        assert (await gw.http.post("/mcp", headers=bearer, json={})).status_code == 401


def test_key_with_which_the_gateway_could_sign_is_refused(key):
    private = ECAlgorithm.to_jwk(key[0], as_dict=True)
    for jwk in (private, {"kty": "oct", "k": "c2VjcmV0"}):
        oidc = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": [key[1], jwk]}
        with pytest.raises(ConfigError, match="private or shared key"):
            parse({"auth": {"oidc": [oidc]}})
