# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import shutil
import ssl
import subprocess

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils import _der


def certificate(folder, days):
    """Return the bytes of a certificate that openssl made, and openssl's own word for its end."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl, which makes the certificates")
    pem = folder / "cert.pem"
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509"]
    names = ["-keyout", folder / "key.pem", "-out", pem, "-subj", "/CN=x", "-days", str(days)]
    subprocess.run(["openssl", "req", *made, *names], check=True, capture_output=True)
    told = subprocess.run(
        ["openssl", "x509", "-in", pem, "-noout", "-enddate", "-dateopt", "iso_8601"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return ssl.PEM_cert_to_DER_cert(pem.read_text()), told.strip().removeprefix("notAfter=")


@pytest.mark.parametrize("days", [1, 400, 36500])  # the last is beyond 2050: another form of time
def test_the_end_of_validity_is_what_openssl_says(tmp_path, days):
    der, told = certificate(tmp_path, days)
    assert f"{_der.not_after(der):%Y-%m-%d %H:%M:%SZ}" == told


@pytest.mark.parametrize("junk", [b"", b"hello", b"\x30\x82\xff\xff\x00", b"\x30\x00"])
def test_what_is_no_certificate_is_refused(junk):
    with pytest.raises(ValueError):
        _der.not_after(junk)
