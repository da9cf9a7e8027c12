# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import json
import sys

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.kubeconfig import access

PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def config(user=None, cluster=None, **more):
    return {
        "current-context": "main",
        "contexts": [
            {"name": "main", "context": {"cluster": "one", "user": "me"}},
            {"name": "broken", "context": {"cluster": "two", "user": "me"}},
        ],
        "clusters": [{"name": "one", "cluster": {"server": "https://k8s:6443", **(cluster or {})}}],
        "users": [{"name": "me", "user": {"token": "secret"} if user is None else user}],
        **more,
    }


def read(found, context=""):
    return access(found, "/nowhere/config", context)


def test_the_current_context_says_where_and_who():
    found = read(config(cluster={"certificate-authority-data": encoded(PEM)}))
    assert (found.server, found.authorities, found.token) == ("https://k8s:6443", PEM, "secret")
    assert found.validate_certs
    assert "secret" not in repr(found)


def test_a_certificate_in_place_of_a_token():
    user = {"client-certificate-data": encoded(PEM), "client-key-data": encoded("key")}
    found = read(config(user=user))
    assert (found.certificate, found.key, found.token) == (PEM, "key", "")


def test_files_are_meant_from_the_kubeconfigs_directory(tmp_path):
    (tmp_path / "ca.pem").write_text(PEM)
    (tmp_path / "token").write_text("from-file\n")
    said = config(user={"tokenFile": "token"}, cluster={"certificate-authority": "ca.pem"})
    found = access(said, str(tmp_path / "config"))
    assert (found.authorities, found.token) == (PEM, "from-file")


def test_verification_may_be_off():
    assert not read(config(cluster={"insecure-skip-tls-verify": True})).validate_certs


def helper(answer, code=0):
    program = f"import os, sys; print({answer!r}); sys.exit({code})"
    return {"exec": {"command": sys.executable, "args": ["-c", program]}}


def test_a_helper_gives_a_token_or_a_certificate():
    status = {"status": {"token": "fresh"}}
    assert read(config(user=helper(json.dumps(status)))).token == "fresh"
    status = {"status": {"clientCertificateData": PEM, "clientKeyData": "key"}}
    found = read(config(user=helper(json.dumps(status))))
    assert (found.certificate, found.key) == (PEM, "key")


def test_a_helper_is_told_what_is_asked_and_has_its_own_environment():
    program = (
        "import json, os; asked = json.loads(os.environ['KUBERNETES_EXEC_INFO']);"
        "token = asked['kind'] + os.environ['OWN'] + asked['spec']['cluster']['server'];"
        "print(json.dumps({'status': {'token': token}}))"
    )
    user = {
        "exec": {
            "command": sys.executable,
            "args": ["-c", program],
            "env": [{"name": "OWN", "value": "-own-"}],
            "provideClusterInfo": True,
        }
    }
    assert read(config(user=user)).token == "ExecCredential-own-https://k8s:6443"


@pytest.mark.parametrize(
    ("found", "context", "message"),
    [
        ("text", "", "is no kubeconfig"),
        (config(), "other", "has no context 'other'"),
        (config(), "broken", "has no cluster 'two'"),
        (config(users=[]), "", "has no user 'me'"),
        (config(cluster={"server": "k8s:6443"}), "", "the server is 'k8s:6443'"),
        (config(cluster={"proxy-url": "http://proxy"}), "", "uses proxy-url"),
        (config(cluster={"tls-server-name": "x"}), "", "uses tls-server-name"),
        (config(user={"auth-provider": {"name": "oidc"}}), "", "uses auth-provider"),
        (config(user={"tokenFile": "gone"}), "", "/nowhere/gone, which the kubeconfig names"),
        (config(user={"client-key-data": "%%%"}), "", "client-key-data cannot be read"),
        (config(user=helper("no JSON")), "", "gave no credentials"),
        (config(user=helper("{}", code=1)), "", "gave no credentials"),
        (config(user={"exec": {"command": "/nowhere/helper"}}), "", "gave no credentials"),
    ],
)
def test_what_cannot_be_used_is_one_message(found, context, message):
    with pytest.raises(ServiceError, match=message):
        read(found, context)
