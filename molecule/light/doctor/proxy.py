# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A small reverse proxy that does to event streams what a company's own may do."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import zlib

CUT_SECONDS = 2
HOP_BY_HOP = ("transfer-encoding", "content-length", "connection")


class Proxy:
    """mode: "pass" relays at once, "buffer" waits for the whole answer, "cut" ends it after 2 s,
    "compress" packs what it relays.
    """

    def __init__(self, address, port, mode):
        self.target, self.mode = (address, port), mode
        self._listener = socket.create_server(("0.0.0.0", 0))
        self.port = self._listener.getsockname()[1]
        self._open = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            request = b""
            while b"\r\n\r\n" not in request:
                request += client.recv(65536)
            host = f"Host: {self.target[0]}:{self.target[1]}\r\nConnection: close".encode()
            request = re.sub(rb"(?im)^Host: [^\r]*", host, request, count=1)
            with socket.create_connection(self.target) as upstream:
                self._open.append(upstream)
                upstream.sendall(request)
                if self.mode == "cut":
                    threading.Timer(CUT_SECONDS, upstream.shutdown, [socket.SHUT_RDWR]).start()
                self._relay(upstream, client)

    def _relay(self, upstream, client):
        if self.mode == "compress":
            self._compress(upstream, client)
            return
        held = b""
        while block := upstream.recv(65536):
            if self.mode == "buffer":
                held += block
            else:
                client.sendall(block)
        client.sendall(held)

    @staticmethod
    def _compress(upstream, client):
        answer = http.client.HTTPResponse(upstream)
        answer.begin()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP]
        head = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{k}: {v}" for k, v in kept)]
        head += ["Content-Encoding: gzip", "Connection: close", "", ""]
        client.sendall("\r\n".join(head).encode())
        packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        while block := answer.read1(65536):
            client.sendall(packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH))
        client.sendall(packer.flush())
