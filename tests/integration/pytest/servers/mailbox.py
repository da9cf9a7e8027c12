# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A company's mail server, as far as one that hands in mail sees it (RFC 5321)."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading

ANSWERS = {b"MAIL": b"250 OK", b"RCPT": b"250 OK", b"DATA": b"354 end with a dot"}
ANSWERS |= {b"EHLO": b"250 mail.example.internal", b"QUIT": b"221 bye"}


class Mailbox:
    """Takes mail from everybody, without TLS and without a login."""

    def __init__(self, address: str) -> None:
        self.messages: list[email.message.EmailMessage] = []
        mailbox = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = 30

            def handle(self):
                self.wfile.write(b"220 mail.example.internal\r\n")
                verb = b""
                while verb != b"QUIT" and (line := self.rfile.readline()):
                    verb = line[:4].upper().strip()
                    self.wfile.write(ANSWERS.get(verb, b"502 unknown") + b"\r\n")
                    if verb == b"DATA":
                        mailbox.messages.append(self.message())
                        self.wfile.write(b"250 taken\r\n")

            def message(self):
                lines = list(iter(self.rfile.readline, b".\r\n"))
                text = b"".join(line.removeprefix(b".") for line in lines)
                return email.message_from_bytes(text, policy=email.policy.default)

        self._server = socketserver.ThreadingTCPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.smarthost = f"{address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def about(self, subject: str) -> list[email.message.EmailMessage]:
        """Return the mails whose subject has this word."""
        return [message for message in self.messages if subject in message["Subject"]]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
