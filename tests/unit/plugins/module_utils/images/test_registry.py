# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import threading

import pytest
import support
from ansible_collections.intranet.mcp.plugins.module_utils.images import registry
from ansible_collections.intranet.mcp.plugins.module_utils.images.pull import Puller
from ansible_collections.intranet.mcp.plugins.module_utils.images.registry import Registries
from ansible_collections.intranet.mcp.plugins.module_utils.images.sources import parse

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LOGIN = {"username": "robot", "password": "secret"}
MANIFEST = "/v2/hub/library/redis/manifests"


@pytest.fixture(autouse=True)
def this_machine(tmp_path, monkeypatch):
    """Nothing of this machine's own settings plays a part."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(registry, "CERTIFICATES", str(tmp_path / "certs.d"))
    monkeypatch.setattr(registry, "DAEMON_JSON", str(tmp_path / "daemon.json"))


@pytest.fixture
def host(service):
    return service.url.partition("://")[2]


def held(digest=DIGEST):
    return 200, b"", {"Docker-Content-Digest": digest}


def behind(authorization, reply, challenge):
    """Give the reply to whoever sends this Authorization, a challenge to others."""

    def answer(exchange):
        if exchange.headers.get("authorization") == authorization:
            return reply
        return 401, b"", {"WWW-Authenticate": challenge}

    return answer


def failure(host, reference="hub/library/redis:8.0", logins=(), **settings):
    return Registries(logins, **settings).failure(f"{host}/{reference}")


def test_an_image_that_is_there_is_no_problem(service, host):
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = held()
    assert failure(host) == ""
    (exchange,) = service.seen("HEAD", f"{MANIFEST}/8.0")
    for kind in ("oci.image.index", "manifest.list"):
        assert kind in exchange.headers["accept"]


def test_an_image_that_is_not_there_is_named(service, host):
    assert failure(host) == f"{host}/hub/library/redis:8.0 is not there"


def test_another_digest_is_told_with_the_one_expected(service, host):
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = held(OTHER)
    reason = failure(host, f"hub/library/redis:8.0@{DIGEST}")
    assert f"8.0 is {OTHER}, expected {DIGEST}" in reason
    assert "copy the image with its digest" in reason
    service.replies[("HEAD", f"{MANIFEST}/{DIGEST}")] = held()
    assert failure(host, f"hub/library/redis:8.0@{DIGEST}") == ""


def test_a_login_is_sent_to_its_registry_only_when_it_asks(service, host):
    basic = "Basic " + base64.b64encode(b"robot:secret").decode()
    challenge = 'Basic realm="registry"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind(basic, held(), challenge)
    assert failure(host, logins=[{"registry": host, **LOGIN}]) == ""
    assert "authorization" not in service.exchanges[0].headers
    assert "asks for a login" in failure(host, logins=[{"registry": "other.example", **LOGIN}])
    wrong = failure(host, logins=[{"registry": host, **LOGIN, "password": "wrong"}])
    assert f"{host} refuses robot" in wrong
    assert "wrong" not in wrong.partition("refuses")[0]


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A function that has this user's logins kept by a helper, which gives this answer."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "config.json").write_text('{"credsStore": "store"}')
    program = tmp_path / "docker-credential-store"

    def answer(text, code=0):
        program.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{text}'\nexit {code}\n")
        program.chmod(0o755)

    return answer


def test_a_login_that_a_credential_helper_keeps_is_used_as_the_engine_would(service, host, store):
    basic = "Basic " + base64.b64encode(b"robot:secret").decode()
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind(basic, held(), 'Basic realm="registry"')
    store('{"Username": "robot", "Secret": "secret"}')
    assert failure(host) == ""
    store('{"Username": "robot", "Secret": "changed"}')
    assert f"{host} refuses robot (from docker-credential-store)" in failure(host)
    assert failure(host, logins=[{"registry": host, **LOGIN}]) == "", "the site's own comes first"
    store("credentials not found in native keychain", 1)
    assert "asks for a login, and docker_registry_logins has none" in failure(host)
    store("gpg: no secret key", 2)
    said = failure(host)
    assert "asks for a login, and docker-credential-store ended with 2: gpg: no secret key" in said
    assert "set docker_registry_logins, or" in said


def test_a_token_that_only_the_engine_can_use_counts_as_a_login(service, host, store):
    challenge = f'Bearer realm="{service.url}/token"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind("Bearer t", held(), challenge)
    store('{"Username": "<token>", "Secret": "identity"}')
    assert failure(host) == ""


def test_a_token_is_fetched_where_the_registry_says(service, host):
    basic = "Basic " + base64.b64encode(b"robot:secret").decode()
    challenge = f'Bearer realm="{service.url}/token",service="harbor",scope="repository:hub/x:pull"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind("Bearer t", held(), challenge)
    service.replies[("GET", "/token")] = behind(basic, (200, {"token": "t"}), challenge)
    assert failure(host, logins=[{"registry": host, **LOGIN}]) == ""
    (asked, *_more) = service.seen("GET", "/token")
    assert "service=harbor" in asked.path and "scope=repository%3Ahub%2Fx%3Apull" in asked.path
    assert "asks for a login" in failure(host)


@pytest.fixture
def elsewhere():
    """Another host than the registry's; here another port."""
    other = support.FakeService()
    yield other
    other.close()


def redirect(status, url):
    return status, b"", {"Location": url}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_login_follows_a_redirect_to_another_host(service, host, elsewhere, status):
    basic = "Basic " + base64.b64encode(b"robot:secret").decode()
    moved = redirect(status, f"{elsewhere.url}/blob")
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind(basic, moved, 'Basic realm="x"')
    elsewhere.replies[("HEAD", "/blob")] = held()
    assert failure(host, logins=[{"registry": host, **LOGIN}]) == ""
    (exchange,) = elsewhere.exchanges
    assert exchange.method == "HEAD"
    assert "authorization" not in exchange.headers
    assert "oci.image.index" in exchange.headers["accept"]


@pytest.mark.parametrize("status", [302, 307])
def test_no_login_follows_a_token_servers_redirect(service, host, elsewhere, status):
    challenge = f'Bearer realm="{service.url}/token",service="harbor"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind("Bearer t", held(), challenge)
    service.replies[("GET", "/token")] = redirect(status, f"{elsewhere.url}/token")
    elsewhere.replies[("GET", "/token")] = (200, {"token": "t"})
    assert failure(host, logins=[{"registry": host, **LOGIN}]) == ""
    (exchange,) = elsewhere.exchanges
    assert "authorization" not in exchange.headers


def test_a_login_follows_a_redirect_within_its_registry(service, host):
    basic = "Basic " + base64.b64encode(b"robot:secret").decode()
    challenge = 'Basic realm="x"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind(basic, redirect(307, "/new"), challenge)
    service.replies[("HEAD", "/new")] = behind(basic, held(), challenge)
    assert failure(host, logins=[{"registry": host, **LOGIN}]) == ""


def test_another_hosts_challenge_is_not_answered(service, host, elsewhere):
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = redirect(307, f"{elsewhere.url}/blob")
    challenge = f'Bearer realm="{elsewhere.url}/token"'
    elsewhere.replies[("HEAD", "/blob")] = (401, b"", {"WWW-Authenticate": challenge})
    assert "refuses robot" in failure(host, logins=[{"registry": host, **LOGIN}])
    assert [repr(exchange) for exchange in elsewhere.exchanges] == ["HEAD /blob"]


def test_redirects_in_a_circle_end(service, host):
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = redirect(302, f"{MANIFEST}/8.0")
    assert failure(host) == f"{host} redirects more than 10 times: correct its address"


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_neither_a_redirect_nor_a_realm_leads_to_anything_but_http(service, host, address):
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = redirect(302, address)
    assert "expected an http or https address" in failure(host)
    challenge = f'Bearer realm="{address}"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind("Bearer t", held(), challenge)
    assert "expected an http or https address" in failure(host)


def test_a_registry_that_is_away_is_told_once_and_shortly(closed_port):
    host = closed_port.partition("://")[2]
    reason = failure(host)
    assert reason.startswith(f"{host} does not answer (")
    assert "refused" in reason


def test_a_registry_that_fails_is_told(service, host):
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = (503, {})
    assert failure(host) == f"{host} answers 503"


@pytest.mark.parametrize("authority", ["hello", "hallöle", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_an_authority_that_is_none_is_named_with_its_option(service, host, authority):
    reason = failure(host, authorities={host: authority})
    assert reason.startswith(f"{host} has an authority in docker_registry_ca that cannot be used")


@pytest.fixture
def no_http():
    """The address of something that answers, and speaks no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            while True:
                try:
                    connection, _address = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                    connection.recv(1024)

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_what_speaks_no_http_is_a_reason_and_no_traceback(no_http, monkeypatch):
    monkeypatch.setattr(Registries, "_schemes", lambda *_asked: [("http", False)])
    reason = failure(no_http)
    assert reason.startswith(f"{no_http} does not speak HTTP (")
    assert "SSH-2.0" in reason
    place = parse(f"{no_http}/hub/library/redis:8.0")
    assert Puller(None, []).has_other(place, DIGEST) is False


@pytest.mark.parametrize("location", ["http://[", "//["])
def test_a_redirect_to_no_address_is_a_reason(service, host, location):
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = redirect(302, location)
    assert failure(host).startswith(f"{host} does not answer (")


@pytest.mark.parametrize("answer", [b"[]", b"7", b"null", b"{", b"\xff", b'{"token": null}'])
def test_a_token_servers_answer_without_a_token_is_a_refused_login(service, host, answer):
    challenge = f'Bearer realm="{service.url}/token"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind("Bearer t", held(), challenge)
    service.replies[("GET", "/token")] = (200, answer)
    assert "refuses robot" in failure(host, logins=[{"registry": host, **LOGIN}])


@pytest.fixture
def own_tls(service, tmp_path, monkeypatch):
    """The service with a certificate of its own, and no exception for loopback addresses."""
    monkeypatch.setattr(registry, "_is_loopback", lambda _registry: False)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "1",
            "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", key, "-out", certificate,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    service.use_tls(certificate, key)
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = held()
    return certificate


def test_the_authority_of_a_registry_is_needed_and_is_enough(own_tls, host, tmp_path):
    assert "docker_registry_ca" in failure(host)
    assert failure(host, authorities={host: own_tls.read_text()}) == ""
    assert "docker_registry_ca" in failure(host, authorities={"other": own_tls.read_text()})


def test_no_login_is_sent_without_tls_to_a_token_server(own_tls, service, host, elsewhere):
    challenge = f'Bearer realm="{elsewhere.url}/token"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind("Bearer t", held(), challenge)
    elsewhere.replies[("GET", "/token")] = (200, {"token": "t"})
    options = {"authorities": {host: own_tls.read_text()}}
    login = {"logins": [{"registry": host, **LOGIN}]}
    assert f"sent to '{elsewhere.url}/token', without TLS" in failure(host, **login, **options)
    assert not elsewhere.exchanges
    assert failure(host, **options) == "", "nothing is given away without a login"
    assert failure(host, insecure=[host], **login, **options) == "", "the site allows it"


def test_a_token_server_on_another_host_is_asked_with_tls(own_tls, service, host, elsewhere):
    """As GitLab's and Docker Hub's are."""
    elsewhere.use_tls(own_tls, own_tls.with_name("key.pem"))
    basic = "Basic " + base64.b64encode(b"robot:secret").decode()
    challenge = f'Bearer realm="{elsewhere.url}/token"'
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = behind("Bearer t", held(), challenge)
    elsewhere.replies[("GET", "/token")] = behind(basic, (200, {"token": "t"}), challenge)
    options = {"authorities": {host: own_tls.read_text()}}
    assert failure(host, logins=[{"registry": host, **LOGIN}], **options) == ""


def test_what_the_engine_trusts_already_is_enough(own_tls, host, tmp_path):
    place = tmp_path / "certs.d" / host
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(own_tls.read_bytes())
    assert failure(host) == ""


def test_a_registry_that_the_site_calls_insecure_is_not_verified(own_tls, host, tmp_path):
    assert failure(host, insecure=[host]) == ""
    (tmp_path / "daemon.json").write_text(f'{{"insecure-registries": ["{host}"]}}')
    assert failure(host) == ""


def test_a_registry_without_tls_is_asked_only_where_the_site_allows_it(service, host, monkeypatch):
    monkeypatch.setattr(registry, "_is_loopback", lambda _registry: False)
    service.replies[("HEAD", f"{MANIFEST}/8.0")] = held()
    assert "does not answer" in failure(host)
    assert failure(host, insecure=[host]) == ""


@pytest.mark.parametrize(
    ("registry_name", "networks", "is_insecure"),
    [
        ("10.1.2.3:5000", ["10.0.0.0/8"], True),
        ("10.1.2.3", ["10.1.2.3/8"], True),
        ("192.0.2.1", ["10.0.0.0/8"], False),
        ("[fd00::1]:5000", ["10.0.0.0/8", "fd00::/8"], True),
        ("ip6-of-nobody.invalid", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["harbor.example/x", "10.0.0.0"], False),
    ],
)
def test_insecure_registries_may_be_networks_as_for_the_engine(
    tmp_path, registry_name, networks, is_insecure
):
    (tmp_path / "daemon.json").write_text(json.dumps({"insecure-registries": networks}))
    schemes = Registries()._schemes(registry_name)
    assert (("http", False) in schemes) is is_insecure


@pytest.mark.parametrize("found", ["x", 7, None, [7]])
def test_settings_of_the_engine_that_are_none_are_left_out(tmp_path, found):
    (tmp_path / "daemon.json").write_text(json.dumps({"insecure-registries": found}))
    assert Registries().insecure == set()


def test_docker_hubs_mirrors_are_asked_first_as_by_the_engine(service, elsewhere, monkeypatch):
    monkeypatch.setattr(registry, "HUB_HOST", elsewhere.url.partition("://")[2])
    settings = {"hub_mirrors": [f"{service.url}/"], "insecure": ["docker.io"]}
    path = ("HEAD", "/v2/library/redis/manifests/8.0")
    service.replies[path] = held()
    assert Registries(**settings).failure("redis:8.0") == ""
    assert not elsewhere.exchanges
    del service.replies[path]
    assert Registries(**settings).failure("redis:8.0") == "docker.io/library/redis:8.0 is not there"
    elsewhere.replies[path] = held()
    assert Registries(**settings).failure("redis:8.0") == ""
    assert Registries(**settings).failure("ghcr.io.invalid/redis:8.0").startswith("ghcr.io.invalid")
    assert all("authorization" not in exchange.headers for exchange in service.exchanges)


def test_mirrors_of_docker_hub_that_the_engine_has_are_asked(service, elsewhere, tmp_path):
    (tmp_path / "daemon.json").write_text(json.dumps({"registry-mirrors": [service.url]}))
    service.replies[("HEAD", "/v2/library/redis/manifests/8.0")] = held()
    assert Registries().failure("redis:8.0") == ""
