# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The platform's own authority, its key stolen: it makes nothing that the world would believe.

The role makes it; Python's TLS and openssl judge, over a real connection and on files.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading

import own_authority
import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import x509
from own_authority import NAME

pytestmark = pytest.mark.integration

FOREIGN = "mail.example.com"


class Site(own_authority.Site):
    """... and a thief of the authority's key."""

    def forge(self, *names):
        """Sign with the authority's key, as its thief would; returns certificate and key."""
        key, request, made = (self.folder / f"forged.{kind}" for kind in ("key", "csr", "crt"))
        extension = self.folder / "forged.ext"
        extension.write_text(f"subjectAltName={','.join(names)}\n")
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key)
        run("openssl", "req", "-new", *new, "-out", request, "-subj", "/O=x")
        by = ("-CA", self.tls / "ca.crt", "-CAkey", self.tls / "ca.key", "-CAcreateserial")
        how = ("-days", "1", "-extfile", extension, "-out", made)
        run("openssl", "x509", "-req", "-in", request, *by, *how)
        return made, key


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def verdict(site, certificate):
    """Return what openssl says of a certificate."""
    command = ("openssl", "verify", "-x509_strict", "-CAfile", site.tls / "ca.crt", certificate)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def connect(site, certificate, key, name):
    """Connect to a server with this certificate, as a client that trusts the authority."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=site.tls / "ca.crt")
    ours, theirs = socket.socketpair()

    def serve():
        with theirs, contextlib.suppress(OSError):  # a client that refuses hangs up
            serving.wrap_socket(theirs, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours:
            trusting.wrap_socket(ours, server_hostname=name).close()
    finally:
        thread.join(10)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("site"))
    status, said = made.run()
    assert status == 0, said[-3000:]
    return made


def test_clients_believe_the_balancer(site):
    connect(site, site.tls / "balancer.crt", site.tls / "balancer.key", NAME)
    assert verdict(site, site.tls / "balancer.crt").strip().endswith(": OK")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        connect(site, site.tls / "balancer.crt", site.tls / "balancer.key", "192.0.2.0")


def test_where_people_come_by_address_every_client_may_check_it(tmp_path):
    """Claude Code and opencode (BoringSSL) refuse it where the authority limits addresses."""
    site = Site(tmp_path)
    status, said = site.run(platform_public_name="")
    assert status == 0, said[-3000:]
    connect(site, site.tls / "balancer.crt", site.tls / "balancer.key", "192.0.2.0")
    (authority,) = x509.of_pem((site.tls / "ca.crt").read_text())
    (served,) = x509.of_pem((site.tls / "balancer.crt").read_text())
    assert x509.names_addresses(served) and not x509.limits_addresses(authority)
    forged = site.forge(f"DNS:{FOREIGN}")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        connect(site, *forged, FOREIGN)

    before = (site.tls / "ca.crt").read_text()
    status, said = site.run(hosts=2, platform_public_name="")
    assert status == 0 and (site.tls / "ca.crt").read_text() == before, said[-3000:]
    for name in ("192.0.2.1", "192.0.2.99"):
        connect(site, site.tls / "balancer.crt", site.tls / "balancer.key", name)


@pytest.mark.parametrize(
    ("kind", "name"), [("DNS", FOREIGN), ("DNS", "example.internal"), ("IP", "203.0.113.1")]
)
def test_a_foreign_name_is_refused(site, kind, name):
    forged = site.forge(f"{kind}:{name}")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        connect(site, *forged, name)
    assert "permitted subtree violation" in verdict(site, forged[0])


def test_a_foreign_name_is_refused_beside_one_of_its_own(site):
    forged = site.forge(f"DNS:{NAME}", f"DNS:{FOREIGN}")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        connect(site, *forged, FOREIGN)


def test_another_run_signs_nothing(site):
    """Several, because an order of names that changes shows itself by chance."""
    before = (site.tls / "balancer.crt").read_text()
    for _ in range(3):
        status, said = site.run()
        assert (status, "changed=0" in said) == (0, True), said[-3000:]
    assert (site.tls / "balancer.crt").read_text() == before


def test_a_second_balancer_needs_no_other_authority(site):
    before = (site.tls / "ca.crt").read_text()
    status, said = site.run(hosts=2)
    assert status == 0, said[-3000:]
    assert (site.tls / "ca.crt").read_text() == before
    connect(site, site.tls / "balancer.crt", site.tls / "balancer.key", NAME)


def test_a_name_that_the_authority_may_not_vouch_for_ends_in_words(site):
    status, said = site.run(load_balancer_tls_names=["other.example"])
    assert status == 2
    assert "found other.example among the names of the load balancer" in " ".join(said.split())
    connect(site, site.tls / "balancer.crt", site.tls / "balancer.key", NAME)


def test_an_authority_that_is_removed_is_made_anew_with_what_may_come(site):
    (site.tls / "ca.crt").unlink()
    names = {"load_balancer_ca_names": ["example"], "load_balancer_tls_names": ["other.example"]}
    status, said = site.run(**names)
    assert status == 0, said[-3000:]
    connect(site, site.tls / "balancer.crt", site.tls / "balancer.key", "other.example")


def test_an_authority_of_an_older_version_is_left_as_it_is(tmp_path):
    site = Site(tmp_path)
    site.tls.mkdir(parents=True)
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    files = ("-keyout", site.tls / "ca.key", "-out", site.tls / "ca.crt", "-subj", "/CN=old")
    run("openssl", "req", "-x509", *new, *files)
    before = (site.tls / "ca.crt").read_text()
    status, said = site.run()
    assert status == 0, said[-3000:]
    assert (site.tls / "ca.crt").read_text() == before
    connect(site, site.tls / "balancer.crt", site.tls / "balancer.key", NAME)
