# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is rendered for a company's nginx, in Debian's nginx: taken by `nginx -t`, and real traffic.

nginx comes out of its package into a directory of the tests, listens on loopback and is not
installed.
"""

from __future__ import annotations

import http.client
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.balancer.nginx_config import render
from conftest import CACHE, wait_until
from servers.balancer import AMBIGUOUS_PATHS, OPERATORS_PATHS, raw_status

pytestmark = pytest.mark.integration

SETTINGS = {
    "name": "_",
    "certificate": "",
    "key": "",
    "timeout_seconds": 600,
    "connect_seconds": 1,
    "body_mb": 64,
}
# A configuration around it as a distribution has it: compressing, buffering, with short timeouts.
AROUND = """
{user}
pid {home}/pid;
error_log {home}/error.log;
events {{}}
http {{
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;
    uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
    gzip on; gzip_types *; gzip_min_length 1;
    proxy_read_timeout 1s;
    include {home}/conf.d/*.conf;
}}
"""


@pytest.fixture(scope="session")
def nginx_program():
    """Debian's nginx: the machine's own, or one that is unpacked and not installed."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    home = CACHE / "nginx"
    if not program:
        program = home / "usr/sbin/nginx"
        if not program.exists():
            home.mkdir(parents=True, exist_ok=True)
            fetch = "apt-get download nginx >/dev/null && dpkg-deb -x nginx_*.deb ."
            done = subprocess.run(["sh", "-c", fetch], cwd=home, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"needs Debian's package nginx: {done.stderr.strip()[-200:]}")
    if subprocess.run([program, "-v"], capture_output=True).returncode:
        pytest.skip("Debian's nginx does not run on this machine")
    return str(program)


class Replica:
    """A service that says its name, shows what reached it, streams, and can hang up."""

    def __init__(self, name):
        self.name, self.seen = name, []
        self.next_event = threading.Semaphore(0)
        self.client_left = threading.Event()
        replica = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments):
                pass

            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                replica.seen.append((self.path, dict(self.headers), body))
                if self.path.startswith("/v1/responses/stream"):
                    self._stream()
                elif self.path == "/v1/responses/hang-up":
                    self.close_connection = True  # the request was read, and nothing is said
                    self.connection.shutdown(socket.SHUT_RDWR)
                else:
                    self._say(replica.name.encode())

            do_GET = do_POST = _answer

            def _say(self, content):
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _stream(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                for number in range(3 if self.path == "/v1/responses/stream" else 1000):
                    if not replica.next_event.acquire(timeout=30):
                        return
                    try:
                        self.wfile.write(f"data: {number}\n\n".encode())
                        self.wfile.flush()
                    except OSError:
                        replica.client_left.set()
                        return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Nginx:
    """nginx in front of replicas, reached on loopback."""

    def __init__(self, program, home):
        self.program, self.home, self.process = program, home, None
        (home / "conf.d").mkdir()
        user = "user root;" if os.geteuid() == 0 else ""  # who may enter the test's directory
        (home / "nginx.conf").write_text(AROUND.format(home=home, user=user))
        # Held until it starts: a replica could be given the same port.
        self.held = [socket.socket(), socket.socket()]
        for one in self.held:
            one.bind(("127.0.0.1", 0))
        self.port, self.redirect_port = (one.getsockname()[1] for one in self.held)

    def write(self, pools, **settings):
        text = render(pools, {**SETTINGS, **settings})
        # The file as it is, but for the listeners and the log, which are the machine's.
        listeners = {
            "443": self.port,
            "80": self.redirect_port if "certificate" in settings else self.port,
        }
        for listener, port in listeners.items():
            text = text.replace(f"listen {listener}", f"listen 127.0.0.1:{port}")
        text = text.replace("/var/log/nginx", str(self.home))
        (self.home / "conf.d" / "intranet-mcp.conf").write_text(text)

    def run(self, *arguments):
        command = [self.program, "-p", self.home, "-c", self.home / "nginx.conf"]
        return [*command, "-e", self.home / "error.log", *arguments]

    def start(self):
        self.release()
        self.process = subprocess.Popen(self.run("-g", "daemon off;"))
        wait_until(self._answers, 10, "nginx to listen")

    def release(self):
        for one in self.held:
            one.close()

    def _answers(self):
        assert self.process.poll() is None, (self.home / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, path, body=None, timeout=20, **headers):
        """Return an answer whose body is not read yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        response.connection = connection
        return response

    def close(self):
        self.release()
        if self.process:
            self.process.terminate()
            self.process.wait(10)


@pytest.fixture
def nginx(nginx_program, tmp_path):
    made = Nginx(nginx_program, tmp_path)
    yield made
    made.close()


@pytest.fixture
def replicas():
    made = {name: Replica(name) for name in ("litellm1", "litellm2", "gateway1")}
    yield made
    for replica in made.values():
        replica.close()


def pools(replicas, *litellm):
    """As the topology names them."""

    def servers(*names):
        return [{"address": f"127.0.0.1:{replicas[name].port}"} for name in names]

    return [
        {"service": "litellm", "servers": servers(*(litellm or ("litellm1",)))},
        {"service": "gateway", "servers": servers("gateway1")},
    ]


@pytest.fixture
def running(nginx, replicas):
    nginx.write(pools(replicas))
    nginx.start()
    return nginx


@pytest.fixture
def certificate(nginx):
    """A certificate of 127.0.0.1 and its key, as the settings name them."""
    key, found = nginx.home / "key.pem", nginx.home / "cert.pem"
    make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    what = ("-nodes", "-keyout", key, "-out", found, "-subj", "/CN=x")
    name = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run([*make, *what, *name], check=True, capture_output=True)
    return {"certificate": str(found), "key": str(key)}


def test_nginx_takes_the_configuration_with_tls_too(nginx, replicas, certificate):
    for files in ({}, certificate):
        nginx.write(pools(replicas, "litellm1", "litellm2"), name="llm.example.internal", **files)
        done = subprocess.run(nginx.run("-t"), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "warn" not in done.stderr


def test_people_come_in_over_tls_and_plain_http_is_sent_there(nginx, replicas, certificate):
    nginx.write(pools(replicas), **certificate)
    nginx.start()
    trust = ssl.create_default_context(cafile=certificate["certificate"])
    connection = http.client.HTTPSConnection("127.0.0.1", nginx.port, timeout=20, context=trust)
    connection.request("GET", "/v1/models")
    assert connection.getresponse().read() == b"litellm1"
    connection.close()
    assert replicas["litellm1"].seen[0][1]["X-Forwarded-Proto"] == "https"
    plain = http.client.HTTPConnection("127.0.0.1", nginx.redirect_port, timeout=20)
    plain.request("POST", "/v1/messages?x=1", b"{}", {"Host": "llm.example.internal"})
    answer = plain.getresponse()
    assert answer.status == 308
    assert answer.headers["Location"] == "https://llm.example.internal/v1/messages?x=1"
    plain.close()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "gateway1"),
        ("/mcp", "gateway1"),
        ("/servers/example/mcp", "gateway1"),
        ("/sse", "gateway1"),
        ("/messages/?session_id=1", "gateway1"),
        ("/.well-known/oauth-protected-resource/mcp", "gateway1"),
        ("/health", "gateway1"),
        ("/v1/models", "litellm1"),
        ("/v1beta/models/x:generateContent", "litellm1"),
    ],
)
def test_paths_go_where_the_platforms_own_balancer_sends_them(running, path, name):
    assert running.ask(path).read().decode() == name


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics/x"])
def test_metrics_are_not_shown(running, path):
    assert running.ask(path).status == 404


@pytest.mark.parametrize("path", OPERATORS_PATHS)
def test_what_operators_do_is_refused_to_people(running, replicas, path):
    assert running.ask(path).status == 403
    assert not any(replica.seen for replica in replicas.values())


@pytest.mark.parametrize("path", OPERATORS_PATHS)
def test_operators_have_it_from_their_networks(nginx, replicas, path):
    nginx.write(pools(replicas), operators=["127.0.0.1/32"])
    nginx.start()
    assert nginx.ask(path).read() == b"litellm1"


def test_a_path_that_could_be_read_as_another_reaches_nobody(running, replicas):
    for path in AMBIGUOUS_PATHS:
        assert raw_status("127.0.0.1", running.port, path) == 400, path
    assert not any(replica.seen for replica in replicas.values())


def test_browsers_are_told_to_stay_with_tls(nginx, replicas, certificate):
    nginx.write(pools(replicas), hsts_seconds=60, **certificate)
    nginx.start()
    trust = ssl.create_default_context(cafile=certificate["certificate"])
    for path in ("/v1/models", "/ui"):
        connection = http.client.HTTPSConnection("127.0.0.1", nginx.port, timeout=20, context=trust)
        connection.request("GET", path)
        assert connection.getresponse().headers["Strict-Transport-Security"] == "max-age=60"
        connection.close()


@pytest.mark.parametrize("headers", [{}, {"Accept_Encoding": "gzip"}])
def test_events_arrive_one_by_one_as_they_are_made(running, replicas, headers):
    """The second event is not made before the first has arrived."""
    accepted = {name.replace("_", "-"): value for name, value in headers.items()}
    stream = running.ask("/v1/responses/stream", **accepted)
    assert stream.headers["Content-Encoding"] is None
    for number in range(3):
        replicas["litellm1"].next_event.release()
        assert stream.readline() == f"data: {number}\n".encode()
        assert stream.readline() == b"\n"
    assert stream.read() == b""


def test_silence_ends_a_stream_at_the_one_timeout_and_not_before(nginx, replicas):
    """Not after the second that the configuration around it says, nor after nginx's own minute."""
    nginx.write(pools(replicas), timeout_seconds=4)
    nginx.start()
    replica = replicas["litellm1"]
    stream = nginx.ask("/v1/responses/stream")
    replica.next_event.release()
    assert stream.readline() == b"data: 0\n"
    began = time.monotonic()
    ended = threading.Timer(2.5, replica.next_event.release)  # silent for longer than the second
    ended.start()
    assert stream.readline() + stream.readline() == b"\ndata: 1\n"
    assert time.monotonic() - began > 2
    began = time.monotonic()
    with pytest.raises((http.client.IncompleteRead, ConnectionError, AssertionError)):
        # Cut: the third event never comes.
        assert b"data: 2" in stream.read()
    assert 3 < time.monotonic() - began < 10


def test_the_service_hears_that_a_client_left(running, replicas):
    replica = replicas["litellm1"]
    stream = running.ask("/v1/responses/stream/endless")
    replica.next_event.release()
    assert stream.readline() == b"data: 0\n"
    stream.close()
    stream.connection.close()

    def is_heard():
        replica.next_event.release()
        return replica.client_left.is_set()

    wait_until(is_heard, 10, "the service to hear it")


def test_a_replica_that_cannot_be_connected_to_costs_no_request(nginx, replicas):
    nginx.write(pools(replicas, "litellm1", "litellm2"))
    nginx.start()
    replicas["litellm1"].close()
    answers = {nginx.ask("/v1/chat/completions", b"{}").read() for _ in range(20)}
    assert answers == {b"litellm2"}


def test_a_call_that_reached_a_replica_is_not_repeated(nginx, replicas):
    nginx.write(pools(replicas, "litellm1", "litellm2"))
    nginx.start()
    assert nginx.ask("/v1/responses/hang-up", b"{}").status == 502
    seen = [path for name in ("litellm1", "litellm2") for path, *_rest in replicas[name].seen]
    assert seen.count("/v1/responses/hang-up") == 1


def test_services_learn_who_asked_and_not_what_a_client_claims(running, replicas):
    claims = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Real-IP": "6.6.6.6"}
    running.ask("/v1/models", Host="llm.example.internal", **claims).read()
    ((_path, headers, _body),) = replicas["litellm1"].seen
    assert headers["Host"] == "llm.example.internal"
    assert headers["X-Forwarded-For"] == headers["X-Real-IP"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "http"


def test_a_large_request_passes_and_a_larger_one_does_not(nginx, replicas):
    nginx.write(pools(replicas), body_mb=8)
    nginx.start()
    assert nginx.ask("/v1/chat/completions", b"x" * (7 << 20)).status == 200
    assert len(replicas["litellm1"].seen[0][2]) == 7 << 20
    assert nginx.ask("/v1/files", b"x" * (9 << 20)).status == 413


def test_a_key_in_a_query_is_not_logged(running):
    running.ask("/v1beta/models?key=do-not-log-this").read()
    log = running.home / "intranet_mcp.log"
    wait_until(lambda: "/v1beta/models" in log.read_text(), 5, "the log")
    assert "do-not-log-this" not in log.read_text()
