# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import datetime
import ipaddress

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

NOW = 1_800_000_000.0
DAY = 86400


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [
        (90, "passed", "certificate /c.pem expires in 90 days (2027-04-15)"),
        (21, "passed", "expires in 21 days"),
        (20.9, "failed", "expires in 20 days"),
        (1, "failed", "expires in 1 day ("),
        (0.5, "failed", "expires in less than a day"),
        (-3, "failed", "expired 3 days ago"),
    ],
)
def test_a_certificate_must_last_a_while(days, status, words):
    found = certificates.Certificate("/c.pem", NOW + days * DAY)
    judged = certificates.judge("certificate", found, NOW, 21)
    assert (judged.status, words in judged.found) == (status, True)


@pytest.mark.parametrize(
    ("text", "words"), [(None, "No such file"), ("no certificate", "holds no PEM certificate")]
)
def test_a_file_that_is_none_is_a_finding(tmp_path, text, words):
    path = tmp_path / "c.pem"
    if text is not None:
        path.write_text(text)
    found = certificates.read(str(path))
    judged = certificates.judge("certificate", found, NOW, 21)
    assert judged.is_failed and words in judged.found and str(path) in judged.found


def test_a_server_that_is_away_is_a_finding(closed_port):
    found = certificates.read(closed_port.replace("http", "https"))
    assert found.not_after is None and "refused" in found.error


def test_an_address_that_is_none_is_a_finding():
    assert certificates.read("https://host:port").error


def signed(issuer, subject, extension):
    """A certificate as PEM and DER; whose key signed it, nobody asks here."""
    names = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        for name in (issuer, subject)
    ]
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(names[0], names[1], key.public_key(), 1, now, now + 90 * DAY_LONG)
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(extension, critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode(), made.public_bytes(Encoding.DER)


DAY_LONG = datetime.timedelta(days=1)
NETWORK = x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))
EVERYWHERE = x509.IPAddress(ipaddress.ip_network("0.0.0.0/0"))
NAME = x509.DNSName("llm.example.internal")
ADDRESS = x509.IPAddress(ipaddress.ip_address("192.0.2.10"))


@pytest.mark.parametrize(
    ("permitted", "excluded", "names", "is_refused"),
    [
        ([NAME, NETWORK], None, [NAME, ADDRESS], True),
        ([NAME, NETWORK], None, [NAME], False),
        ([NAME], None, [NAME, ADDRESS], False),
        ([NAME], [EVERYWHERE], [ADDRESS], True),
        ([NAME], [EVERYWHERE], [NAME], False),
    ],
)
def test_an_address_under_an_authority_that_limits_addresses_is_refused(
    permitted, excluded, names, is_refused
):
    authority, _der = signed("ours", "ours", x509.NameConstraints(permitted, excluded))
    _pem, der = signed("ours", "x", x509.SubjectAlternativeName(names))
    found = certificates.Certificate("https://192.0.2.10", NOW, der=der)
    judged = certificates.refused_by_clis("certificate", found, authority)
    assert bool(judged) == is_refused
    assert not judged or ("Claude Code and opencode" in judged.expected and judged.is_failed)


def test_the_limits_of_an_authority_that_signed_something_else_are_no_matter():
    authority, _der = signed("ours", "ours", x509.NameConstraints([NAME, NETWORK], None))
    _pem, der = signed("company", "x", x509.SubjectAlternativeName([ADDRESS]))
    found = certificates.Certificate("https://192.0.2.10", NOW, der=der)
    assert certificates.refused_by_clis("certificate", found, authority) is None
    assert certificates.refused_by_clis("certificate", found, "") is None
