# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One small HTTP client for every service module; nothing beyond what ansible-core brings."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import socket
import ssl
import urllib.error
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.urls import Request, make_context
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    TimedOut,
    Unexpected,
    Unreachable,
)

# A reply that does not fit is not what a management API sends.
MAX_BODY_BYTES = 64 * 1024 * 1024


class Reply:
    """A complete answer: status, headers (lower-case names) and body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"Reply({self.status}, {len(self.body)} bytes)"

    @property
    def ok(self) -> bool:
        """True for a 2xx status."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """Return the body as text, undecodable bytes replaced."""
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """Return the decoded body, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class HttpClient:
    """Requests to one service. Statuses are returned, broken connections raised.

    `service` and `setting` (the option that holds the address) appear in messages. Proxies of the
    environment are not used: the platform's services stand on the same network, and a company
    proxy would neither reach them nor should it see their keys.
    """

    def __init__(
        self,
        url: str,
        service: str,
        setting: str,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
        validate_certs: bool = True,
        ca_path: str | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.service = service
        self.setting = setting
        self.headers = dict(headers or {})
        self.timeout = timeout
        self.validate_certs = validate_certs
        self._context = self._tls_context(validate_certs, ca_path)

    def __repr__(self) -> str:
        return f"HttpClient({self.service} at {self.url})"

    def _tls_context(self, validate_certs: bool, ca_path: str | None) -> ssl.SSLContext:
        if not self.url.startswith("https:"):
            # Reading the system's certificates takes longer than most requests.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return make_context(cafile=ca_path, validate_certs=validate_certs)

    def at(self, url: str) -> HttpClient:
        """Return a client with the same settings for another address of the same server."""
        other = copy.copy(self)
        other.url = url
        return other

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """Send a request and read the whole answer. `body` is sent as JSON."""
        with self.stream(method, path, body=body, headers=headers, timeout=timeout) as response:
            return self.read(response)

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        body: Any = None,
        data: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Iterator[Any]:
        """Open a request and yield the response unread, whatever its status.

        `data` is sent as it is: bytes, or an object with `read` (then give Content-Length).
        `timeout` bounds each silent stretch, not the whole exchange.
        """
        sent = {"Accept": "application/json", **self.headers, **(headers or {})}
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        allowed = self.timeout if timeout is None else timeout
        with self._explained(method, path, allowed):
            try:
                response = self._open(method, self.url + path, data, sent, allowed)
            except urllib.error.HTTPError as error:
                response = error
            except ValueError as error:  # not a URL at all
                raise self._unreachable(f"{self.service} at {self.url}", error) from error
            try:
                yield response
            finally:
                response.close()

    def _open(self, method, url, data, headers, timeout):
        return Request(context=self._context).open(
            method,
            url,
            data=data,
            headers=headers,
            timeout=timeout,
            use_proxy=False,
            use_netrc=False,  # a ~/.netrc would replace the Authorization header
            follow_redirects="none",  # and a redirect would carry it elsewhere
            http_agent="intranet.mcp",
            decompress=False,
        )

    def lines(self, response: Any) -> Iterator[bytes]:
        """Yield the lines of an opened response as they come."""
        with self._explained("reading", self.url, self.timeout):
            yield from response

    def read(self, response: Any) -> Reply:
        """Read the rest of an opened response."""
        body = response.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise Unexpected(
                f"{self.service} at {self.url} sent more than {MAX_BODY_BYTES} bytes",
                "a management reply",
                f"check that {self.setting} is the address of {self.service}",
            )
        if getattr(response, "length", None):  # http.client is silent about it when read(n) is used
            raise Unreachable(
                f"{self.service} at {self.url} broke off after {len(body)} bytes of a reply",
                f"{response.length} bytes more",
                f"check that {self.service} runs and did not restart, and read its log",
            )
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, headers, body)

    @contextlib.contextmanager
    def _explained(self, method: str, path: str, timeout: float) -> Iterator[None]:
        where = f"{self.service} at {self.url}"
        try:
            yield
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._silent(method, path, timeout) from error
            raise self._unreachable(where, error.reason) from error
        except TimeoutError as error:
            raise self._silent(method, path, timeout) from error
        except ssl.SSLError as error:
            raise self._unreachable(where, error) from error
        except http.client.HTTPException as error:
            raise Unreachable(
                f"{where} broke off {method} {path} ({type(error).__name__}: {error})",
                "a complete HTTP answer",
                f"check that {self.service} runs and did not restart, and read its log",
            ) from error
        except OSError as error:
            raise self._unreachable(where, error) from error

    def _silent(self, method: str, path: str, timeout: float) -> TimedOut:
        return TimedOut(
            f"{self.service} at {self.url} sent nothing for {timeout:g} s on {method} {path}",
            "an answer in that time",
            f"check the load and the log of {self.service}, or raise the timeout",
        )

    def _unreachable(self, where: str, cause: Any) -> Unreachable:
        if isinstance(cause, ssl.SSLError):
            return Unreachable(
                f"no trusted TLS connection to {where} ({cause})",
                "a certificate this host trusts",
                "set ca_path to the CA's file, or check the address and the certificate's names",
            )
        if isinstance(cause, socket.gaierror):
            return Unreachable(
                f"this host does not know where {where} is ({cause})",
                "a name that it can resolve",
                f"enter the name into DNS, or correct {self.setting}",
            )
        return Unreachable(
            f"{where} cannot be reached ({cause})",
            "a service that accepts connections",
            f"start {self.service}, check the firewall between here and there, or correct "
            f"{self.setting}",
        )


def wait_at_most(response: Any, seconds: float) -> None:
    """Change how long the rest of a response may stay silent.

    http.client offers no way to do so; where its internals differ, the first limit stays.
    """
    connection = getattr(getattr(response.fp, "raw", None), "_sock", None)
    if connection is not None:
        connection.settimeout(seconds)
