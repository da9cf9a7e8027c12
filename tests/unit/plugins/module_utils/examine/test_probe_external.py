# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Servers elsewhere are asked as their clients ask: with TLS, the authority, and the password."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probe_external, probes


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """Return certificate and key of a server called localhost."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", certificate, "-days", "90", "-subj", "/CN=x"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


class Server:
    """One connection after the other; `replies` are given in turn, each to what comes first.

    asked: what came. ahead: what is said before TLS, if anything is.
    """

    def __init__(self, *replies, ahead=b"", signed=None):
        self.asked = []
        self._replies, self._ahead, self._signed = replies, ahead, signed
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                plain, _address = self._server.accept()
                with plain, contextlib.suppress(ssl.SSLError, ConnectionError):
                    self._answer(plain)

    def _answer(self, plain):
        if self._ahead:
            self.asked.append(plain.recv(1000))
            plain.sendall(self._ahead)
        stream = plain
        if self._signed:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._signed)
            stream = context.wrap_socket(plain, server_side=True)
        for reply in self._replies:
            self.asked.append(stream.recv(1000))
            stream.sendall(reply)
        stream.recv(1000)  # until the client has gone

    def close(self):
        self._server.close()


def ask(server, service, **options):
    given = {"service": service, "host": "localhost", "port": server.port, **options}
    probe = {"name": f"external {service}", "kind": "external", "options": given}
    checked = probes.check(probe, {"redis": "secret"})
    return probe_external.answers(checked["name"], checked["options"])


@pytest.fixture
def serve():
    servers = []

    def start(*replies, **options):
        servers.append(Server(*replies, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_postgresql_with_tls_answers_with_a_certificate_that_lasts(serve, signed):
    server = serve(ahead=b"S", signed=signed)
    found = ask(server, "postgres", ca=signed[0].read_text())
    assert [(one.check, one.status) for one in found] == [
        ("external postgres answers", "passed"),
        ("external postgres certificate", "passed"),
    ]
    assert server.asked == [probe_external.SSL_REQUEST]
    (_answers, certificate) = ask(server, "postgres", ca=signed[0].read_text(), days=365)
    assert certificate.status == "failed" and "expires in 89 days" in certificate.found


def test_redis_takes_the_password_over_tls(serve, signed):
    server = serve(b"+OK\r\n", b"+PONG\r\n", signed=signed)
    found = ask(server, "redis", ca=signed[0].read_text(), key="redis")
    assert {one.status for one in found} == {"passed"} and len(found) == 2
    assert server.asked == [b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n", b"*1\r\n$4\r\nPING\r\n"]


def test_without_tls_there_is_no_certificate_to_judge(serve):
    assert len(ask(serve(ahead=b"N"), "postgres")) == 1
    assert len(ask(serve(b"+OK\r\n", b"+PONG\r\n"), "redis", key="redis")) == 1


@pytest.mark.parametrize(
    ("service", "replies", "ahead", "text"),
    [
        ("postgres", [], b"N", "shows no certificate that clients accept .it has no TLS"),
        ("postgres", [], b"H", "answers 'H', expected a server that speaks as postgres does"),
    ],
)
def test_a_server_that_is_none_is_named(serve, signed, service, replies, ahead, text):
    with pytest.raises(errors.Unexpected, match=text):
        ask(serve(*replies, ahead=ahead), service, ca=signed[0].read_text())


def test_a_wrong_password_is_told_without_it(serve):
    server = serve(b"-WRONGPASS invalid\r\n")
    with pytest.raises(errors.Unauthorized, match="refuses the password") as raised:
        ask(server, "redis", key="redis")
    assert "secret" not in raised.value.found.replace("redis_password", "")


def test_without_a_password_it_is_asked_whether_it_is_there(serve):
    """A cluster's clients may have it of a Secret of the site's, and nobody else."""
    said = b"-NOAUTH Authentication required.\r\n"
    assert len(ask(serve(said), "redis")) == 1


def test_a_certificate_of_somebody_else_is_refused(serve, signed):
    server = serve(ahead=b"S", signed=signed)
    with pytest.raises(errors.Unexpected, match="no certificate that clients accept"):
        ask(server, "postgres", ca=signed[0].read_text(), host="127.0.0.1")


def test_no_way_to_it_is_a_fault_for_clients_and_a_warning_elsewhere():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    class Gone:
        pass

    gone = Gone()
    gone.port = port
    with pytest.raises(errors.Unreachable, match="does not answer"):
        ask(gone, "postgres")
    (found,) = ask(gone, "postgres", is_client=False)
    assert found.status == "warning" and found.action
