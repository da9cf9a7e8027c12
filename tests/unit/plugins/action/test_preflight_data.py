# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which data of a host preflight looks for: those whose secret nobody has."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible_collections.intranet.mcp.plugins.action.preflight import without_secret

DATA = {"postgres_password": "/var/lib/intranet-mcp/postgres/data"}


def left(directory, **said):
    asked = {"data": DATA, "secrets_directory": str(directory)}
    return without_secret(asked, said, lambda value: value)


def test_data_with_their_secret_are_nobodys_business(tmp_path):
    assert left(tmp_path) == DATA
    assert left(tmp_path, platform_secrets={"postgres_password": "given"}) == {}
    (tmp_path / "postgres_password").write_text("kept")
    assert left(tmp_path) == {}


def test_another_secret_that_cannot_be_resolved_hides_nothing(tmp_path):
    def template(value):
        if value == "{{ nope }}":
            raise AnsibleError("nope is undefined")
        return value

    asked = {"data": DATA, "secrets_directory": str(tmp_path)}
    said = {"platform_secrets": {"other": "{{ nope }}"}}
    assert without_secret(asked, said, template) == DATA
    said["platform_secrets"]["postgres_password"] = "{{ nope }}"
    assert without_secret(asked, said, template) == {}


def test_a_host_without_a_database_is_asked_nothing(tmp_path):
    assert without_secret({"secrets_directory": str(tmp_path)}, {}, lambda value: value) == {}
