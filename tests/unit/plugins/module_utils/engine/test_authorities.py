# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import ast
import hashlib
import ssl
import struct
import subprocess

import pytest
import support
from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities

STDIO = "roles/gateway/files/mcp_gateway/src/mcp_gateway/upstreams/stdio.py"


def pem(body):
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"


def authority(folder, name):
    """Return the certificate of an authority that is made for this test."""
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}")
    made = ("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt", "-days", "1")
    subprocess.run(["openssl", "req", "-x509", *new, *made], check=True, capture_output=True)
    return (folder / f"{name}.crt").read_text()


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with one public authority, in its system's bundle; returns both files' folder."""
    public = tmp_path / "public"
    public.mkdir()
    (public / "public.crt").write_text(authority(tmp_path, "public"))
    (tmp_path / "bundle.crt").write_text((public / "public.crt").read_text())
    monkeypatch.setattr(authorities, "PUBLIC_CERTIFICATES", str(public))
    monkeypatch.setattr(authorities, "SYSTEM_BUNDLES", (str(tmp_path / "bundle.crt"),))
    monkeypatch.setattr(authorities, "ANCHORS", (str(tmp_path / "anchors" / "*"),))
    return tmp_path


def subjects(store, name=authorities.BUNDLE):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=store[name].decode())
    return {found["subject"][0][0][1] for found in context.get_ca_certs()}


def test_own_certificates_are_those_that_are_not_public():
    bundle = f"# a comment\n{pem('AAAA')}\n{pem('BB BB')}\n{pem('CCCC')}\n{pem('CCCC')}\n"
    assert authorities.beyond(bundle, f"{pem('AAAA')}\n{pem('BBBB')}") == [f"{pem('CCCC')}\n"]


def test_a_host_that_trusts_only_the_public_ones_gives_containers_nothing(host):
    assert authorities.trust_store("") == {}
    assert authorities.digest_of({}) == ""


def test_what_an_administrator_added_to_the_host_is_the_sites(host):
    (host / "anchors").mkdir()
    (host / "anchors" / "company.crt").write_text(authority(host, "company"))
    store = authorities.trust_store("")
    assert subjects(store) == {"company", "public"}
    assert subjects(store, authorities.SITE) == {"company"}


def test_the_environment_of_a_run_is_no_fact_of_the_host(host, monkeypatch):
    """Or the same host would get other containers from another shell."""
    (host / "mine.pem").write_text(authority(host, "mine"))
    monkeypatch.setenv("SSL_CERT_FILE", str(host / "mine.pem"))
    assert authorities.trust_store("") == {}


def test_a_bundle_that_is_given_is_taken_with_the_public_ones(host):
    (host / "given.pem").write_text(authority(host, "one") + authority(host, "two"))
    store = authorities.trust_store(str(host / "given.pem"))
    assert subjects(store) == {"one", "two", "public"}


def test_the_digest_tells_the_sites_authorities_and_not_the_public_ones(host):
    (host / "given.pem").write_text(authority(host, "one"))
    before = authorities.trust_store(str(host / "given.pem"))
    (host / "bundle.crt").write_text(authority(host, "newer"))
    public = authorities.trust_store(str(host / "given.pem"))
    assert subjects(public) == {"one", "newer"}
    assert authorities.digest_of(public) == authorities.digest_of(before)
    (host / "given.pem").write_text(authority(host, "two"))
    own = authorities.trust_store(str(host / "given.pem"))
    assert authorities.digest_of(own) != authorities.digest_of(before)


@pytest.mark.parametrize("name", ["ca[1].pem", "*.pem", "ca?.pem"])
def test_the_name_of_a_bundle_is_no_pattern(host, name, monkeypatch):
    (host / name).write_text(authority(host, "one"))
    assert subjects(authorities.trust_store(str(host / name)), authorities.SITE) == {"one"}
    environment = {"SSL_CERT_FILE": str(host / name)}
    assert len(authorities.site_certificates("", environment)) == 1


def test_der_is_read_as_pem_is(host):
    der = ssl.PEM_cert_to_DER_cert(authority(host, "one"))
    (host / "anchors").mkdir()
    (host / "anchors" / "one.cer").write_bytes(der)
    (host / "anchors" / "other").write_bytes(b"\x30\x03key")
    assert subjects(authorities.trust_store(""), authorities.SITE) == {"one"}
    (host / "given.der").write_bytes(der)
    assert subjects(authorities.trust_store(str(host / "given.der")), authorities.SITE) == {"one"}


@pytest.mark.parametrize(
    ("settings", "is_trusted"),
    [
        ([], True),
        (["-addtrust", "serverAuth"], True),
        (["-addtrust", "anyExtendedKeyUsage"], True),
        (["-addtrust", "emailProtection"], False),
        (["-addreject", "serverAuth"], False),
        (["-addreject", "emailProtection"], True),
        (["-setalias", "company"], True),
    ],
)
def test_openssls_trusted_certificates_are_read_by_what_they_are_trusted_for(
    host, settings, is_trusted
):
    authority(host, "one")
    (host / "anchors").mkdir()
    made = ("-in", host / "one.crt", "-out", host / "anchors" / "one.pem", "-trustout")
    subprocess.run(["openssl", "x509", *made, *settings], check=True, capture_output=True)
    assert "BEGIN TRUSTED CERTIFICATE" in (host / "anchors" / "one.pem").read_text()
    store = authorities.trust_store("")
    assert bool(store) is is_trusted
    if store:
        assert subjects(store, authorities.SITE) == {"one"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there, expected a file on this host"),
        ("hello\n", "has no certificate, expected blocks"),
        (f"{pem('AAAA')}\n", "certificate 1 of .* cannot be read .*, expected certificates in PEM"),
        (pem("!!!!").replace("CERT", "TRUSTED CERT"), "certificate 1 of .* cannot be read"),
        (f"{pem('!!!!')}\n", "certificate 1 of .* cannot be read .*, expected certificates in PEM"),
    ],
)
def test_a_bundle_that_cannot_be_used_is_refused_with_the_remedy(host, content, message):
    if content:
        (host / "given.pem").write_text(content)
    with pytest.raises(authorities.AuthorityError, match=message):
        authorities.trust_store(str(host / "given.pem"))


def test_javas_store_holds_every_certificate_and_the_sum_over_them(host):
    (host / "given.pem").write_text(authority(host, "one"))
    store = authorities.trust_store(str(host / "given.pem"))
    content, total = store[authorities.JAVA][:-20], store[authorities.JAVA][-20:]
    assert struct.unpack(">III", content[:12]) == (0xFEEDFEED, 2, 2)
    for found in authorities.certificates(store[authorities.BUNDLE].decode()):
        assert ssl.PEM_cert_to_DER_cert(found) in content
    key = "changeit".encode("utf-16-be") + b"Mighty Aphrodite"
    assert total == hashlib.sha1(key + content, usedforsecurity=False).digest()


def test_a_server_behind_the_bridge_is_told_all_that_its_container_is():
    """The bridge hands on what it lists; everything else stays with it."""
    tree = ast.parse((support.REPOSITORY / STDIO).read_text())
    (inherited,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "INHERITED"
    )
    assert set(authorities.ENVIRONMENT) <= set(inherited)
