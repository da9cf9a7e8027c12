# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import http.server
import json
import socketserver
import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import (
    Engine,
    EngineError,
    demultiplex,
)


def frame(stream, text):
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def test_both_streams_of_a_container_are_read_in_order():
    mixed = frame(1, b"out\n") + frame(2, b"err\n") + frame(1, "zwölf".encode())
    assert demultiplex(mixed, 1, 2) == "out\nerr\nzwölf"
    assert demultiplex(mixed, 1) == "out\nzwölf"
    assert demultiplex(mixed, 2) == "err\n"


@pytest.mark.parametrize("cut", [0, 3, 8, 10])
def test_a_stream_that_is_cut_off_ends_there(cut):
    assert demultiplex(frame(1, b"text")[:cut], 1) in ("", "te")


@pytest.fixture
def engine(tmp_path):
    """An engine that answers on a socket as the real one does, and notes what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_arguments):
            pass

        def address_string(self):
            return "socket"

        def do_GET(self):
            self.answer(json.dumps({"ExitCode": 3} if "exec" in self.path else {"ok": 1}).encode())

        def do_POST(self):
            asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            if "none" in self.path:
                self.send_response(404)
                self.end_headers()
                self.wfile.write(b'{"message":"No such container: none"}')
            elif self.path.endswith("/start"):
                self.answer(frame(1, b"said"))
            else:
                self.answer(b'{"Id":"e1"}')

        def answer(self, body):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    asked = []
    path = str(tmp_path / "docker.sock")
    server = socketserver.ThreadingUnixStreamServer(path, Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    found = Engine(path)
    found.asked = asked
    yield found
    server.shutdown()
    server.server_close()


def test_a_command_returns_its_status_and_output(engine):
    assert engine.run("c1", ["psql", "-c", "select 1"], {"PGUSER": "x"}) == (3, "said", "", "said")
    path, body = engine.asked[0]
    assert path == "/containers/c1/exec"
    assert json.loads(body)["Env"] == ["PGUSER=x"]


def test_what_the_engine_refuses_is_an_error_with_its_words(engine):
    with pytest.raises(EngineError, match="No such container"):
        engine.run("none", ["true"])


def test_no_engine_is_an_error(tmp_path):
    with pytest.raises(EngineError, match="GET /info"):
        Engine(str(tmp_path / "away")).json("/info")
