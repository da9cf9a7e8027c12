# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A company's own authority, and servers that only who trusts it will talk to."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


class Authority:
    """Signs certificates; nobody has heard of it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.certificate = folder / f"{name}.crt"
        (folder / "empty.cnf").write_text("[req]\ndistinguished_name = empty\n[empty]\n")
        # Python asks for both since 3.13.
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
        self._openssl(name, self.certificate, *extensions)

    def server(self, address: str) -> tuple[Path, Path]:
        """Return certificate and key of a server at an address."""
        return self._signed(address, f"IP:{address}")

    def named(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key of a program that is known by a name."""
        return self._signed(name, f"DNS:{name}")

    def _signed(self, name: str, alternative: str) -> tuple[Path, Path]:
        certificate = self.folder / f"{self.name}-{name}.pem"
        by = ("-CA", self.certificate, "-CAkey", self.folder / f"{self.name}.key")
        extensions = (f"subjectAltName={alternative}", "authorityKeyIdentifier=keyid")
        self._openssl(f"{self.name}-{name}", certificate, *extensions, by=by)
        return certificate, self.folder / f"{self.name}-{name}.key"

    def protect(self, server, address: str) -> None:
        """Let an http.server speak TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server(address))
        # Or one client that breaks off its handshake would keep all others waiting.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )

    def _openssl(self, name: str, certificate: Path, *extensions: str, by=()) -> None:
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        place = ("-keyout", self.folder / f"{name}.key", "-out", certificate)
        plain = ("-config", self.folder / "empty.cnf", "-subj", f"/CN={name}")
        added = [word for extension in extensions for word in ("-addext", extension)]
        command = ["openssl", "req", "-x509", *kind, *place, *plain, *by, *added]
        subprocess.run(command, check=True, capture_output=True)
