# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether servers that keep the platform's data elsewhere answer, as their clients would see it."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common import x509
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    ServiceError,
    Unauthorized,
    Unexpected,
    Unreachable,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine import certificates
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    PASSED,
    WARNING,
    Finding,
)

ARGUMENTS: dict[str, Any] = {
    "service": {"type": "str", "choices": ["postgres", "redis"], "required": True},
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "ca": {"type": "str", "default": ""},
    "key": {"type": "str", "default": "", "no_log": True},
    "days": {"type": "int", "default": 21},
    "is_client": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 10},
}
# What asks PostgreSQL for TLS ("Message Formats" of its manual). The answer is one letter.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
HAS_TLS, HAS_NONE = b"S", b"N"
LONGEST_LINE = 512


def answers(name: str, params: dict[str, Any]) -> list[Finding]:
    """It answers, its certificate is one that clients accept, and Redis takes the password."""
    started = time.monotonic()
    try:
        der = _ask(params)
    except Unreachable as error:
        if params["is_client"]:
            raise
        # The way is open for its clients; whether it is from here is the site's business.
        return [Finding.of(f"{name} answers", error, WARNING)]
    took = round((time.monotonic() - started) * 1000, 1)
    found = [Finding(f"{name} answers", "an answer", "one", status=PASSED, milliseconds=took)]
    if der:
        shown = certificates.Certificate(_place(params), x509.not_after(der), der=der)
        found.append(certificates.judge(f"{name} certificate", shown, time.time(), params["days"]))
    return found


def _ask(params: dict[str, Any]) -> bytes:
    """Return the certificate that was shown; empty without TLS."""
    place = (params["host"], params["port"])
    try:
        with socket.create_connection(place, params["timeout"]) as plain:
            if params["service"] == "postgres":
                _request_tls(plain, params)
            if not params["ca"]:
                _enter(plain, params)
                return b""
            context = ssl.create_default_context(cadata=params["ca"])
            with context.wrap_socket(plain, server_hostname=params["host"]) as secure:
                _enter(secure, params)
                return secure.getpeercert(binary_form=True) or b""
    except ssl.SSLError as error:
        raise _foreign(params, getattr(error, "verify_message", "") or str(error)) from error
    except OSError as error:
        raise Unreachable(
            f"{_place(params)} does not answer ({error})",
            "a server there",
            "start it, open the way to it, or correct its host and port in the inventory",
        ) from error


def _request_tls(plain: socket.socket, params: dict[str, Any]) -> None:
    plain.sendall(SSL_REQUEST)
    said = plain.recv(1)
    if said not in (HAS_TLS, HAS_NONE):
        raise _no_server(params, said)
    if params["ca"] and said == HAS_NONE:
        raise _foreign(params, "it has no TLS")


def _enter(stream: socket.socket, params: dict[str, Any]) -> None:
    """Redis is asked for an answer with the password; of PostgreSQL, LiteLLM says whether it is."""
    if params["service"] != "redis":
        return
    if params["key"]:
        said = _command(stream, "AUTH", params["key"])
        if not said.startswith(b"+OK"):
            raise Unauthorized(
                f"{_place(params)} refuses the password ({_text(said)})",
                "the one of the secret redis_password",
                "correct the secret, or the password of the server's default user",
            )
    said = _command(stream, "PING")
    is_asked = said.startswith(b"-NOAUTH") and not params["key"]  # a cluster's Secret may have it
    if not (said.startswith(b"+PONG") or is_asked):
        raise _no_server(params, said)


def _command(stream: socket.socket, *words: str) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        encoded = word.encode()
        parts.append(f"${len(encoded)}\r\n".encode() + encoded + b"\r\n")
    stream.sendall(b"".join(parts))
    said = b""
    while not said.endswith(b"\r\n") and len(said) < LONGEST_LINE:
        if not (more := stream.recv(LONGEST_LINE)):
            break
        said += more
    return said


def _no_server(params: dict[str, Any], said: bytes) -> ServiceError:
    return Unexpected(
        f"{_place(params)} answers {_text(said)!r}",
        f"a server that speaks as {params['service']} does",
        "correct its host, port and tls in the inventory",
    )


def _foreign(params: dict[str, Any], reason: str) -> ServiceError:
    return Unexpected(
        f"{_place(params)} shows no certificate that clients accept ({reason})",
        "one for this name, of the authority of ca_file",
        "correct the certificate there, or host and ca_file in the inventory",
    )


def _place(params: dict[str, Any]) -> str:
    return f"{params['service']} {params['host']}:{params['port']}"


def _text(said: bytes) -> str:
    return said.decode(errors="replace").strip()[:80]
