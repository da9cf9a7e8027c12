"""A portal between a real provider and services that answer as LiteLLM and the gateway do."""

from __future__ import annotations

import functools
import ssl
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[5]
sys.path[:0] = [str(REPOSITORY / "tests"), str(Path(__file__).parent)]

import gateway_lab  # noqa: E402
import identity_provider  # noqa: E402
import lab  # noqa: E402
from faulty_provider import FaultyProvider  # noqa: E402

PORTAL_PORT = lab.free_port()
SECOND_PORT = lab.free_port()


@pytest.fixture(scope="session")
def provider(tmp_path_factory):
    """The company's provider: a real one, with Alice in a team and Bob in none."""
    callbacks = [f"http://127.0.0.1:{port}/portal/callback" for port in (PORTAL_PORT, SECOND_PORT)]
    try:
        with identity_provider.identity_provider(
            tmp_path_factory.mktemp("provider"), callbacks, REFRESH_TOKENS="1"
        ) as found:
            yield found
    except gateway_lab.Unreachable as error:
        pytest.skip(f"needs oidc-provider from a package mirror: {error}")


@pytest.fixture
def redis_server(tmp_path):
    """A Redis of this process; the file `redis` has the address of what a portal keeps there."""
    made = lab.Redis()
    (tmp_path / "redis").write_text(made.url(2))
    yield made
    made.stop()


@pytest.fixture(scope="session", autouse=True)
def trust():
    """One TLS context for all clients: each takes 30 ms to make, and nothing here speaks TLS."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture
def litellm():
    made = lab.FakeLitellm()
    yield made
    made.served.stop()


@pytest.fixture
def gateway(litellm):
    made = lab.FakeGateway(litellm)
    yield made
    made.served.stop()


@pytest.fixture
def configure(tmp_path, litellm, gateway):
    """`configure(issuer, **changes)` returns a portal's configuration."""

    def made(issuer, port=PORTAL_PORT, **changes):
        urls = litellm.served.url, gateway.served.url
        return lab.configuration(tmp_path, issuer, *urls, port, **changes)

    return made


@pytest.fixture
def faulty():
    """A provider that does what it is told, right or wrong."""
    made = FaultyProvider()
    yield made
    made.served.stop()


@pytest.fixture
def issuer(provider):
    """Where people sign in; a file says so where that is the faulty one."""
    return provider.issuer


@pytest.fixture
def config(issuer, configure):
    """The portal's configuration; a file says more of it where its tests need that."""
    return configure(issuer)


@pytest.fixture
def portal(config):
    with lab.running(config) as served:
        yield served


@pytest.fixture
def arrive(portal, faulty):
    """`arrive(name, **claims)` returns a browser that the faulty provider has signed in."""

    def arrived(name="sam", at=portal, wanted="overview", **claims):
        faulty.claims = {"sub": name, **claims}
        browser = lab.Browser(at.url)
        there = browser.get(f"/portal/sign-in?next={wanted}")
        back = browser.http.get(there.headers["location"])
        arrived = browser.http.get(back.headers["location"])
        assert arrived.status_code == 303
        assert arrived.headers["location"] == f"/portal/{wanted}"
        return browser

    return arrived


@pytest.fixture
def sign_in(provider):
    """`sign_in(portal, name)` returns a browser in which somebody has signed in, or tried to."""

    def signed_in(portal, name, wanted="overview"):
        browser = lab.Browser(portal.url)
        began = browser.get(f"/portal/sign-in?next={wanted}")
        back = identity_provider.pass_provider(browser.http, began.headers["location"], name)
        browser.arrived = browser.http.get(back)
        browser.came_by = back
        return browser

    return signed_in
