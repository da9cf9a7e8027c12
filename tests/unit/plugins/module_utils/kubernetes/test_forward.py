# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A port of a pod on this machine: the protocol as the kubelet speaks it, byte by byte."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    Unreachable,
)
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.forward import Channel, Relay
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.kubeconfig import Access


def frame(message, kind=2):
    size = len(message)
    if size < 126:
        return bytes([0x80 | kind, size]) + message
    if size < 1 << 16:
        return bytes([0x80 | kind, 126]) + size.to_bytes(2, "big") + message
    return bytes([0x80 | kind, 127]) + size.to_bytes(8, "big") + message


BEGINNING = frame(b"\x00\xa0\x0f") + frame(b"\x01\xa0\x0f")  # port 4000, on both channels


class Server:
    """An API server with a pod behind it that answers in capitals."""

    def __init__(self, status="101 Switching Protocols", said=BEGINNING):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.access = Access(f"http://127.0.0.1:{self._listener.getsockname()[1]}/base", token="t")
        self.status, self.said, self.asked = status, said, b""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            connection, _address = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        stream = connection.makefile("rb")
        while (line := stream.readline()).strip():
            self.asked += line
        with contextlib.suppress(OSError), connection:  # a client that has seen enough is gone
            self._answer(connection, stream)

    def _answer(self, connection, stream):
        connection.sendall(f"HTTP/1.1 {self.status}\r\nX: y\r\n\r\n".encode() + self.said)
        while head := stream.read(2):
            assert head[1] & 0x80, "a client masks"
            size = head[1] & 0x7F
            size = (
                int.from_bytes(stream.read({126: 2, 127: 8}[size]), "big") if size > 125 else size
            )
            mask, masked = stream.read(4), stream.read(size)
            message = bytes(byte ^ mask[n % 4] for n, byte in enumerate(masked))
            if head[0] & 0x0F == 2:
                connection.sendall(frame(message.upper()))


def channel(server):
    return Channel(server.access, "llm", "litellm-0", 4000)


def answer(to, size):
    found = b""
    while len(found) < size:
        found += to.read()
    return found


@pytest.mark.parametrize("size", [1, 124, 125, 126, 65534, 65535, 65536, 300_000])
def test_what_is_sent_arrives_and_what_is_answered_too(size):
    there = channel(Server())
    there.send(b"a" * size)
    assert answer(there, size) == b"A" * size
    there.close()


def test_the_pod_is_asked_for_by_its_name_with_the_kubeconfigs_token():
    server = Server()
    channel(server).close()
    first, *headers = server.asked.decode().splitlines()
    assert first == (
        "GET /base/api/v1/namespaces/llm/pods/litellm-0/portforward?ports=4000 HTTP/1.1"
    )
    assert {"Authorization: Bearer t", "Sec-WebSocket-Protocol: v4.channel.k8s.io"} <= {*headers}


def test_who_may_not_is_told_what_to_ask_for():
    with pytest.raises(Refused, match=r"answered '403 Forbidden' .* port 4000 of pod litellm-0"):
        channel(Server("403 Forbidden", b""))


def test_a_port_that_nobody_listens_on_says_so():
    there = channel(Server(said=BEGINNING + frame(b"\x01connection refused\n")))
    with pytest.raises(Unreachable, match=r"port 4000 .* \(connection refused\)"):
        answer(there, 1)


def test_the_end_comes_after_what_was_said_before_it():
    there = channel(Server(said=BEGINNING + frame(b"\x00last") + frame(b"", kind=8)))
    assert not there.has_ended
    assert answer(there, 4) == b"last"
    assert there.has_ended


def test_a_question_of_the_server_is_answered_and_nothing_of_it_is_data():
    there = channel(Server(said=BEGINNING + frame(b"there?", kind=9)))
    there.send(b"x")
    assert answer(there, 1) == b"X"


def test_connections_of_this_machine_are_relayed_until_nobody_wants_them():
    server, wanted = Server(), threading.Event()
    wanted.set()
    relay = Relay(lambda: channel(server))
    serving = threading.Thread(target=relay.serve_while, args=(wanted.is_set,))
    serving.start()
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", relay.port), 10) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"HELLO"
    wanted.clear()
    serving.join(10)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", relay.port), 10)


def test_a_connection_ends_where_there_is_no_pod():
    def nobody():
        raise Unreachable("no pod", "one", "wait")

    wanted = threading.Event()
    wanted.set()
    relay = Relay(nobody)
    threading.Thread(target=relay.serve_while, args=(wanted.is_set,), daemon=True).start()
    with socket.create_connection(("127.0.0.1", relay.port), 10) as connection:
        assert connection.recv(1) == b""
    wanted.clear()
