# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import socket
import ssl
import subprocess
import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import (
    HttpClient,
    wait_at_most,
)


def client(url, **options):
    return HttpClient(url, "Example", "example_url", **{"timeout": 2, **options})


def test_statuses_are_returned_and_not_raised(service):
    service.replies["GET", "/x"] = 418, {"error": "teapot"}
    reply = client(service.url).request("GET", "/x")
    assert (reply.status, reply.ok, reply.json()) == (418, False, {"error": "teapot"})


def test_body_is_sent_as_json_with_the_clients_headers(service):
    service.replies["POST", "/x"] = 200, {}
    client(service.url + "/", headers={"Authorization": "Bearer k"}).request("POST", "/x", {"a": 1})
    (exchange,) = service.exchanges
    assert exchange.json() == {"a": 1}
    assert exchange.headers["content-type"] == "application/json"
    assert exchange.headers["authorization"] == "Bearer k"


def test_reply_that_is_no_json_is_none(service):
    service.replies["GET", "/x"] = 200, b"<html>"
    assert client(service.url).request("GET", "/x").json() is None


def test_proxies_and_netrc_of_the_environment_are_ignored(service, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    service.replies["GET", "/x"] = 200, {}
    client(service.url, headers={"Authorization": "Bearer mine"}).request("GET", "/x")
    assert service.exchanges[0].headers["authorization"] == "Bearer mine"


def test_redirect_is_not_followed(service):
    """The key would go along."""
    service.replies["GET", "/x"] = 302, b"", {"Location": f"{service.url}/y"}
    assert client(service.url).request("GET", "/x").status == 302
    assert len(service.exchanges) == 1


def test_a_name_that_nobody_knows():
    """RFC 6761, 6.4: `invalid` never resolves."""
    with pytest.raises(errors.Unreachable, match=r"does not know where .*llm\.invalid") as caught:
        client("https://llm.invalid").request("GET", "/x")
    assert "DNS" in caught.value.action


def test_nobody_there(closed_port):
    with pytest.raises(errors.Unreachable, match=r"start Example.*example_url"):
        client(closed_port).request("GET", "/x")


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp//x", "http://name.invalid"])
def test_address_that_is_none(url):
    with pytest.raises(errors.Unreachable):
        client(url).request("GET", "/x")


def test_silence_ends(service):
    released = threading.Event()

    def silent(_exchange):
        released.wait(5)
        return 200, {}

    service.replies["GET", "/x"] = silent
    with pytest.raises(errors.TimedOut, match=r"0\.2 s"):
        client(service.url, timeout=0.2).request("GET", "/x")
    released.set()


def test_answer_that_breaks_off():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            connection, _address = server.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(errors.Unreachable, match="broke off"):
            client(f"http://127.0.0.1:{server.getsockname()[1]}").request("GET", "/x")


def test_allowed_silence_may_change_during_a_response(service):
    released = threading.Event()

    def slow():
        yield b"first\n"
        released.wait(5)

    service.replies["GET", "/x"] = 200, slow()
    with (
        pytest.raises(errors.TimedOut),
        client(service.url, timeout=30).stream("GET", "/x") as response,
    ):
        assert response.readline() == b"first\n"
        wait_at_most(response, 0.2)
        response.readline()
    released.set()


@pytest.fixture
def tls_server(tmp_path):
    """A TLS server with a certificate for 127.0.0.1 that nobody signed."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=x"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                plain, _address = server.accept()
                with context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            except ssl.SSLError:
                continue
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield f"https://127.0.0.1:{server.getsockname()[1]}", str(certificate)
    server.close()


def test_certificates_are_verified_unless_told_otherwise(tls_server):
    url, certificate = tls_server
    with pytest.raises(errors.Unreachable, match="ca_path"):
        client(url).request("GET", "/x")
    assert client(url, ca_path=certificate).request("GET", "/x").ok
    assert client(url, validate_certs=False).request("GET", "/x").ok
