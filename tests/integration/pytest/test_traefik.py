# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Traefik in the balancer's place: routes, TLS, streams, dead replicas, and what people do not see.

How replicas are drained, with either engine, is in test_balancer_server.py.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import os
import ssl
import threading
import time
from collections import Counter

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.engines import running
from conftest import image, wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers.balancer import HELD, PORTS, Balancer, Replica

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="the certificate belongs to Traefik's user"),
]

NAME = "llm.example.internal"
PUBLIC_PORT = 18443  # what redirects name
LOAD_THREADS = 8
TIMEOUT_SECONDS = 4


class Site:
    """A Traefik over TLS in front of two LiteLLMs and a gateway."""

    def __init__(self, docker, folder, name="balancer"):
        self.docker, self.folder = docker, folder
        folder.chmod(0o755)
        self.authority = Authority()
        self.replicas = {
            "litellm": [Replica(docker.gateway(), name) for name in ("app1", "app2")],
            "gateway": [Replica(docker.gateway(), "tools")],
        }
        (folder / "secrets").mkdir()
        self.certify()
        options = [f"--volume={folder / 'secrets'}:/secrets:ro"]
        self.balancer = Balancer(
            docker,
            image("traefik"),
            folder,
            self.replicas,
            "traefik",
            options,
            name,
            tls=True,
            public_port=PUBLIC_PORT,
            timeout_seconds=TIMEOUT_SECONDS,
        )

    def certify(self):
        """Have a certificate of the authority; the previous one is replaced at once."""
        pem = self.folder / "tls.pem"
        pem.write_bytes(self.authority.certificate_and_key())
        os.chown(pem, 10001, 10001)
        pem.chmod(0o400)
        os.replace(pem, self.folder / "secrets" / "tls.pem")

    def connect(self, port="public"):
        address = self.docker.address(self.balancer.container, PORTS[port])
        host, _colon, number = address.rpartition(":")
        if port != "public":
            return http.client.HTTPConnection(host, int(number), timeout=20)
        context = ssl.create_default_context(cadata=self.authority.pem)
        connection = http.client.HTTPSConnection(host, int(number), timeout=20, context=context)
        connection._create_connection = lambda *arguments: http.client.socket.create_connection(
            (host, int(number)), 20
        )
        connection.host = NAME  # what the certificate is for
        return connection

    def ask(self, path, port="public", method="GET", headers=None):
        """Return status, body and headers of an answer."""
        connection = self.connect(port)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def close(self):
        for replicas in self.replicas.values():
            for replica in replicas:
                replica.close()
        self.docker.run("rm", "-f", self.balancer.container)


class Authority:
    """A certificate authority as the role makes one."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign("Private authority", self.key.public_key(), True)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def certificate_and_key(self):
        key = ec.generate_private_key(ec.SECP256R1())
        found = self._sign(NAME, key.public_key(), False)
        return found.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def _sign(self, name, public_key, is_authority):
        now = datetime.datetime.now(datetime.UTC)
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by = named if is_authority else self.certificate.subject
        return (
            x509.CertificateBuilder()
            .subject_name(named)
            .issuer_name(by)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
            .sign(self.key, hashes.SHA256())
        )


@contextlib.contextmanager
def running_site(*arguments):
    made = Site(*arguments)
    try:
        wait_until(lambda: made.balancer.is_ready("app1"), 30, "Traefik's first check")
        yield made
    finally:
        made.close()


@pytest.fixture
def site(docker, tmp_path):
    """One of the test's own, which it may break."""
    with running_site(docker, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(docker, tmp_path_factory):
    """One for all tests that leave it as they found it."""
    with running_site(docker, tmp_path_factory.mktemp("shared"), "shared-balancer") as made:
        yield made


class Load:
    """Requests from several threads at once, until it is left."""

    def __init__(self, site):
        self.statuses, self._site, self._ended = Counter(), site, threading.Event()
        self.failures = Counter()  # by thread
        self._threads = [threading.Thread(target=self._run) for _ in range(LOAD_THREADS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error):
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self):
        connection = self._site.connect()
        while not self._ended.is_set():
            connection.request("POST", "/v1/chat/completions", body=b"{}")
            answer = connection.getresponse()
            answer.read()
            self.statuses[answer.status] += 1
            self.failures[threading.get_ident()] += answer.status != 200
        connection.close()


MODELS = ["/v1/models", "/v1/messages", "/v1beta/models/x:generateContent", "/key/info"]
TOOLS = ["/", "/mcp", "/mcp/", "/sse/x", "/messages", "/servers/github/mcp"]
TOOLS += ["/.well-known/oauth-protected-resource/mcp"]


@pytest.mark.parametrize("port", ["public", "inside"])
def test_every_path_goes_where_haproxy_sends_it(shared, port):
    for path in MODELS + (["/mcpx"] if port == "inside" else []):
        assert shared.ask(path, port)[1] in ("app1", "app2"), path
    for path in TOOLS:
        assert shared.ask(path, port)[:2] == (200, "tools"), path


def test_encoded_slashes_and_odd_headers_reach_the_replica(shared):
    shared.ask(
        "/v1/models/org%2Fname?x=1", headers={"session_id": "7", "X-Forwarded-For": "1.2.3.4"}
    )
    (path, headers) = max(
        (replica.last for replica in shared.replicas["litellm"]), key=lambda last: len(last[0])
    )
    assert path == "/v1/models/org%2Fname?x=1"
    assert headers["session_id"] == "7"
    assert headers["X-Forwarded-Proto"] == "https"
    assert "1.2.3.4" not in headers["X-Forwarded-For"], "what clients claim of themselves"


def test_traefiks_own_pages_are_off(shared):
    for path in ("/api/rawdata", "/dashboard/", "/ping"):
        assert shared.ask(path)[0] == 403
        assert shared.ask(path, "inside")[1] in ("app1", "app2"), "no page of Traefik's own"
        assert shared.ask(path, "metrics")[0] == 404
    assert "traefik_service_requests_total" in shared.ask("/metrics", "metrics")[1]


def test_health_says_whether_both_have_a_replica(site):
    assert site.ask("/health")[0] == site.ask("/ready")[0] == 200
    for replica in site.replicas["litellm"]:
        replica.close()
    wait_until(lambda: site.ask("/health")[0] == 503, 20, "no LiteLLM")
    assert site.ask("/mcp")[1] == "tools", "tools go on without models"


def test_plain_requests_are_sent_on_with_method_and_path(shared):
    status, _body, headers = shared.ask(
        "/v1/chat/completions?x=1", "redirect", "POST", {"Host": f"{NAME}:80"}
    )
    assert status == 308
    assert headers["Location"] == f"https://{NAME}:{PUBLIC_PORT}/v1/chat/completions?x=1"


def test_a_renewed_certificate_is_served_and_old_tls_is_not(shared):
    def served():
        connection = shared.connect()
        connection.connect()
        with connection.sock as sock:
            return sock.getpeercert(binary_form=True)

    first = served()
    shared.certify()
    running(shared.balancer.spoken_to).reload()
    wait_until(lambda: served() != first, 10, "the renewed certificate")

    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    host, _colon, port = shared.balancer.address.rpartition(":")
    with (
        http.client.socket.create_connection((host, int(port)), 10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(plain)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stream_arrives_as_it_is_made_and_outlasts_the_timeout(site, method):
    """Each piece is let go only when the one before was read, so that a buffer would hold all."""
    replica = site.replicas["gateway"][0]
    connection = site.connect()
    connection.request(method, "/sse", body=b"{}" if method == "POST" else None)
    stream = connection.getresponse()
    assert "Content-Encoding" not in stream.headers
    ends_at = time.monotonic() + 1.5 * TIMEOUT_SECONDS
    while time.monotonic() < ends_at:
        replica.pieces.put(b"data: 1\n\n")
        assert stream.readline() == b"data: 1\n"
        assert stream.readline() == b"\n"
    replica.pieces.put(None)
    assert stream.read() == b""
    connection.close()


def test_silence_before_an_answer_ends_with_the_timeout(site):
    for replica in site.replicas["litellm"]:
        replica.gate.clear()
    assert site.ask(HELD)[0] == 504


def test_a_replica_that_is_killed_under_load_costs_what_it_had_under_way(site):
    """Connections that its kernel had accepted are lost, one a client at most. Then nothing is
    accepted there, and others are tried, long before the check has noticed.
    """
    with Load(site) as load:
        wait_until(lambda: load.statuses[200] > 100, 30, "load")
        site.replicas["litellm"][0].close()
        wait_until(lambda: not site.balancer.is_ready("app1"), 20, "the check to notice")
        done = load.statuses[200]
        wait_until(lambda: load.statuses[200] > done + 100, 30, "load afterwards")
    assert max(load.failures.values()) <= 1
    assert set(load.statuses) <= {200, 502}


def test_a_call_that_was_sent_is_not_sent_again(site):
    """What a killed replica had under way is lost, and only that: calls must not happen twice."""
    for replica in site.replicas["litellm"]:
        replica.gate.clear()
    answers = []
    call = threading.Thread(target=lambda: answers.append(site.ask(HELD, method="POST")[0]))
    call.start()
    replicas = site.replicas["litellm"]
    wait_until(lambda: any(r.at_work.is_set() for r in replicas), 10, "a replica at work")
    (busy,) = [replica for replica in replicas if replica.at_work.is_set()]
    busy.cut()
    call.join(20)
    assert answers == [502]
    assert sum(replica.requests for replica in replicas) == 1


def test_a_traefik_that_stops_finishes_what_is_under_way(site):
    replicas = site.replicas["litellm"]
    for replica in replicas:
        replica.gate.clear()
    answers = []
    call = threading.Thread(target=lambda: answers.append(site.ask(HELD)[0]))
    call.start()
    wait_until(lambda: any(r.at_work.is_set() for r in replicas), 10, "a replica at work")
    stop = threading.Thread(target=site.docker.run, args=("stop", site.balancer.container))
    stop.start()
    wait_until(lambda: site.balancer.get()[0] == 0, 10, "no new request to be taken")
    for replica in replicas:
        replica.gate.set()
    call.join(20)
    stop.join(20)
    assert answers == [200]


def test_no_key_is_logged(shared):
    shared.ask("/v1beta/models?key=do-not-log-this", headers={"Authorization": "Bearer nor-this"})
    log = wait_until(lambda: _log(shared, "litellm.app"), 10, "the request in the log")
    assert "do-not-log-this" not in log
    assert "nor-this" not in log


def _log(site, word):
    text = "\n".join(running(site.balancer.spoken_to).engine.log(site.balancer.container, 200))
    return text if word in text else ""


def test_keepaliveds_check_is_answered_while_traefik_lives(shared):
    check = ("haproxy-answers", str(PORTS["metrics"]))
    place = ("--rm", f"--network=container:{shared.balancer.container}", "--cap-drop=ALL")
    shared.docker.run("run", *place, image("keepalived"), *check)


def test_the_role_has_a_configuration_checked_in_a_container_that_reaches_nobody(site):
    def check():
        return site.docker.try_run(
            "run",
            "--rm",
            "--network=none",
            "--read-only",
            "--init",
            "--cap-drop=ALL",
            "--tmpfs=/run/traefik",
            f"--volume={site.folder / 'config'}:/config:ro",
            f"--volume={site.folder / 'secrets'}:/secrets:ro",
            image("traefik"),
            "traefik-check",
            str(PORTS["metrics"]),
        )

    assert check().returncode == 0
    site.balancer.spoil()
    refused = check()
    assert refused.returncode == 1
    assert "no-such-word" in refused.stderr
