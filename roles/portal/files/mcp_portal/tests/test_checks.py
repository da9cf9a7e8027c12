"""Each piece that a sign-in needs, broken: the portal names it for verify and doctor."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta

import lab
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mcp_portal import signing
from mcp_portal.problem import Problem


@pytest.fixture
def problems(configure):
    """`problems(issuer, **changes)` starts a portal and returns what it says is broken."""

    def told(issuer, **changes):
        config = configure(issuer, port=lab.free_port(), **changes)
        with lab.running(config) as portal:
            answer = lab.Browser(portal.url).get("/checks").json()
        keys = answer.pop("problems", {})
        assert answer.pop("status") == ("failed" if keys else "ok")
        assert answer.keys() == keys.keys() and all(answer.values())
        return keys

    return told


def test_provider_that_is_well_is_told_apart_from_a_code_that_it_does_not_know(problems, provider):
    assert problems(provider.issuer) == {}


def test_wrong_client_secret_is_found_before_anybody_signs_in(problems, provider, configure):
    oidc = {"client_id": "somebody-else"}
    assert problems(provider.issuer, oidc=oidc) == {"provider": "client_refused"}


def test_provider_away_is_found(problems):
    assert problems(f"http://127.0.0.1:{lab.free_port()}") == {"provider": "provider_away"}


BROKEN = {
    "issuer": ({"claims": {"metadata_issuer": "https://other.example"}}, "other_issuer"),
    "no key": ({"answers": {"/jwks": {"keys": []}}}, "no_signing_key"),
    "keys for secrets alone": (
        {"answers": {"/jwks": {"keys": [{"kty": "RSA", "use": "enc"}, {"kty": "oct"}]}}},
        "no_signing_key",
    ),
    "expired": (
        {"answers": {"/jwks": {"keys": [{"kty": "RSA", "exp": 1_000_000_000}]}}},
        "signing_keys_expired",
    ),
    "fast": ({"skew": 3600}, "clocks_differ"),
    "slow": ({"skew": -3600}, "clocks_differ"),
    "garbage": ({"answers": {"/jwks": "text"}}, "provider_away"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_provider_is_found(problems, faulty, case):
    broken, key = BROKEN[case]
    for name, value in broken.items():
        setattr(faulty, name, value)
    assert problems(faulty.issuer) == {"provider": key}


def test_small_difference_of_clocks_is_none(problems, faulty):
    faulty.skew = 30
    assert problems(faulty.issuer) == {}


def test_key_that_litellm_refuses_is_found(problems, faulty, litellm):
    litellm.status = 401
    assert problems(faulty.issuer) == {"litellm": "litellm_refused"}


def test_redis_away_is_found(problems, faulty, tmp_path):
    (tmp_path / "redis").write_text(f"redis://127.0.0.1:{lab.free_port()}/2")
    found = problems(faulty.issuer, redis_url_file=str(tmp_path / "redis"))
    assert found == {"store": "store_away"}


def test_redis_that_is_there_is_well(problems, faulty, tmp_path, redis_server):
    assert problems(faulty.issuer, redis_url_file=str(tmp_path / "redis")) == {}


def test_key_expires_with_its_certificate():
    ended, lasting = ({"kty": "EC", "x5c": [certificate(days)]} for days in (-1, 1))
    with pytest.raises(Problem, match="signing_keys_expired"):
        signing.judge_keys([ended], time.time())
    signing.judge_keys([ended, lasting], time.time())
    signing.judge_keys([ended, {"kty": "EC"}], time.time())
    signing.judge_keys([{"kty": "EC", "x5c": ["no certificate"]}], time.time())


def test_date_of_a_cache_is_no_clock():
    signing.judge_clock({"date": "Mon, 01 Jan 2024 00:00:00 GMT", "age": "9"}, time.time(), 60)
    signing.judge_clock({"date": "yesterday"}, time.time(), 60)
    signing.judge_clock({}, time.time(), 60)


def certificate(days):
    """A certificate that ends in so many days, as a key of a JWKS has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider")])
    ends_at = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends_at - timedelta(days=9))
        .not_valid_after(ends_at)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()
