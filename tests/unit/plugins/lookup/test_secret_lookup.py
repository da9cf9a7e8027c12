# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Secrets as roles ask for them."""

from __future__ import annotations

import pytest
import support
from ansible.errors import AnsibleLookupError


def asked(folder, *names, check=False, given=None, **options):
    variables = {
        "platform_secrets_dir": str(folder),
        "platform_secrets": given or {},
        "ansible_check_mode": check,
    }
    return support.run_lookup("secret", *names, variables=variables, **options)


def test_a_secret_is_generated_once_and_kept_to_its_owner(tmp_path):
    (value,) = asked(tmp_path, "key", prefix="sk-", length=20)
    assert value.startswith("sk-") and len(value) == 23
    assert asked(tmp_path, "key", prefix="sk-") == [value]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_what_the_site_gives_wins_and_nothing_is_written(tmp_path):
    assert asked(tmp_path, "key", given={"key": "given"}) == ["given"]
    assert list(tmp_path.iterdir()) == []


def test_check_mode_writes_nothing(tmp_path):
    (value,) = asked(tmp_path, "key", check=True)
    assert value
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_one_clear_message(tmp_path):
    (tmp_path / "key").write_text("")
    with pytest.raises(AnsibleLookupError, match=r"^secret: "):
        asked(tmp_path, "key")


def test_the_password_of_a_server_elsewhere_is_never_generated(tmp_path):
    variables = {"platform_secrets_dir": str(tmp_path), "platform_redis": {"host": "redis"}}
    assert support.run_lookup("secret", "redis_password", variables=variables) == [""]
    assert not list(tmp_path.iterdir())  # preflight would take it for the site's
    (tmp_path / "redis_password").write_text("given\n")
    assert support.run_lookup("secret", "redis_password", variables=variables) == ["given"]
    (own,) = support.run_lookup("secret", "postgres_password", variables=variables)
    assert len(own) == 40
