# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What unit and integration tests share."""

from __future__ import annotations

import contextlib
import http.server
import importlib
import io
import json
import os
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]

# A certificate, until 1 January 2030.
PEM = """\
-----BEGIN CERTIFICATE-----
MIHDMHegAwIBAgIBATAFBgMrZXAwDDEKMAgGA1UEAwwBeDAeFw0yMDAxMDEwMDAw
MDBaFw0zMDAxMDEwMDAwMDBaMAwxCjAIBgNVBAMMAXgwKjAFBgMrZXADIQAxbld9
ufNgtC9qtTFbmJrA97005IhUTG0VhqVRMaak2zAFBgMrZXADQQDpmiOqZgZjNPzx
Twi/7xunmoMnlsWYK7/o6GhZds8ZOPOxuJYj8rGjitzIDi6tC+olBJNttgycGlsh
0GgIh2IC
-----END CERTIFICATE-----
"""


def make_collection_importable() -> None:
    """Link the checkout as `ansible_collections/intranet/mcp`, as `make venv` does."""
    root = REPOSITORY / ".cache" / "collections"
    link = root / "ansible_collections" / "intranet" / "mcp"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(REPOSITORY, target_is_directory=True)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


# What ansible-core itself adds to results, or explains for all modules.
COMMON_RESULT_KEYS = {"changed", "failed", "diff", "msg", "invocation", "warnings", "exception"}


def run_module(module_name: str, /, check: bool = False, diff: bool = True, **options):
    """Run a module's `main()` in this process and return its result.

    The result holds `failed` whatever way the module ended, as it does for a play.
    """
    from ansible.module_utils import basic
    from ansible.module_utils.testing import patch_module_args

    module = importlib.import_module(
        f"ansible_collections.intranet.mcp.plugins.modules.{module_name}"
    )
    arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
    stdout = io.StringIO()
    warnings: list[str] = []
    with (
        patch_module_args(arguments),
        # Beside tests of plugins this process counts as a control node, which displays warnings.
        mock.patch.object(
            basic.AnsibleModule, "warn", lambda _module, text, **_more: warnings.append(text)
        ),
        contextlib.redirect_stdout(stdout),
        pytest.raises(SystemExit) as ended,
    ):
        module.main()
    result = json.loads(stdout.getvalue().strip().splitlines()[-1])
    own = {name: value for name, value in result.items() if name not in COMMON_RESULT_KEYS}
    unknown = untold(own, yaml.safe_load(module.RETURN) or {})
    assert not unknown, f"{module_name} returns {unknown}, which RETURN does not document"
    return {"failed": ended.value.code != 0, **result, "warnings": warnings}


def run_playbook(inventory, playbook, *arguments, **options) -> subprocess.CompletedProcess:
    """Run ansible-playbook of this Python on an inventory; options: subprocess.run's."""
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, *arguments, playbook],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def run_playbook_alone(folder: Path, inventory, *arguments) -> subprocess.CompletedProcess:
    """Run a folder's play.yml with the collection and no other configuration."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    collections = {"ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".cache/collections")}
    program = Path(sys.executable).with_name("ansible-playbook")
    return subprocess.run(
        [program, "-i", inventory, *arguments, "play.yml"],
        cwd=folder,
        env={**kept, **collections, "ANSIBLE_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )


def run_lookup(name: str, /, *terms, variables: dict, **options) -> list:
    """Run a lookup of the collection in this process, with its documented options."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar

    module = importlib.import_module(f"ansible_collections.intranet.mcp.plugins.lookup.{name}")
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    own = {key: told for key, told in documented.items() if key != "_terms"}
    assert set(options) <= set(own), "an option that DOCUMENTATION does not have"
    values = {key: told.get("default") for key, told in own.items()} | options
    plugin = module.LookupModule(
        loader=DataLoader(), templar=Templar(DataLoader(), variables=variables)
    )
    # What Ansible's loader does for a plugin that it finds.
    plugin.set_options = lambda **_given: None
    plugin.get_option = values.__getitem__
    return plugin.run(list(terms), variables, **options)


def render_template(role: str, name: str, /, **variables) -> str:
    """Return a template of a role, with the role's defaults, its vars, and these variables."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    loader, home = DataLoader(), REPOSITORY / "roles" / role
    known: dict = {}
    for part in ("defaults", "vars"):
        path = str(home / part / "main.yml")
        known |= loader.load_from_file(path, trusted_as_template=True)
    text = trust_as_template((home / "templates" / name).read_text())
    return Templar(loader, variables={**known, **variables}).template(text)


def untold(found: dict, documented: dict, place: str = "") -> set[str]:
    """Return the keys that a result holds and RETURN does not document, inner ones included."""
    unknown = set()
    for name, value in found.items():
        if name not in documented:
            unknown.add(place + name)
            continue
        inner = documented[name].get("contains")
        if name == "error":  # the same everywhere, so a sample says enough
            inner = {key: {} for key in documented[name]["sample"]}
        for entry in value if isinstance(value, list) else [value]:
            if inner and isinstance(entry, dict):
                unknown |= untold(entry, inner, f"{place}{name}.")
    return unknown


class Exchange:
    """One request a fake service received."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def __repr__(self) -> str:
        return f"{self.method} {self.path}"

    def json(self):
        """Return the decoded body."""
        return json.loads(self.body)


class Server(http.server.ThreadingHTTPServer):
    """Says nothing of clients that hang up in the middle of an answer, as tests make them."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class FakeService:
    """A real HTTP server whose answers a test writes down.

    `replies[(method, path)]` is a status and a body (a dict sent as JSON, bytes, an iterable of
    bytes that is sent as it comes, or a function that goes on with the connection's two streams),
    or a function from the Exchange to such a pair.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.replies: dict = {}
        self.exchanges: list[Exchange] = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments):
                pass

            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                exchange = Exchange(self.command, self.path, headers, body)
                fake.exchanges.append(exchange)
                path = self.path.split("?")[0]
                reply = fake.replies.get((self.command, path), (404, {"error": "no such path"}))
                status, content, *extra = reply(exchange) if callable(reply) else reply
                self._send(status, content, extra[0] if extra else {})

            do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = do_PATCH = _answer

            def _send(self, status, content, headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if isinstance(content, (dict, str)):
                    content = json.dumps(content).encode()
                if isinstance(content, bytes):
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(content)
                    return
                self.close_connection = True
                if callable(content):
                    self.end_headers()
                    content(self.rfile, self.wfile)
                    return
                self.send_header("Connection", "close")
                self.end_headers()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    for chunk in content:
                        self.wfile.write(chunk)
                        self.wfile.flush()

        self._server = Server((address, 0), Handler)
        self.url = f"http://{address}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def seen(self, method: str, path: str) -> list[Exchange]:
        """Return the requests with this method and path (without its query)."""
        return [e for e in self.exchanges if e.method == method and e.path.split("?")[0] == path]

    def use_tls(self, certificate, key) -> None:
        """Speak TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
