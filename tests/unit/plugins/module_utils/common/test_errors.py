# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Errors: what was found, what was expected, what to do."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors


def test_an_error_is_one_sentence_and_its_parts():
    error = errors.Refused("port 80 is held", "a free one", "stop nginx")
    assert str(error) == "port 80 is held, expected a free one: stop nginx"
    assert error.as_dict() == {
        "reason": "refused",
        "found": "port 80 is held",
        "expected": "a free one",
        "action": "stop nginx",
    }


def test_every_kind_of_error_has_a_reason_of_its_own():
    kinds = errors.ServiceError.__subclasses__()
    own = {kind.reason for kind in kinds if kind.__module__ == errors.__name__}
    assert len(own) == len([kind for kind in kinds if kind.__module__ == errors.__name__])
    assert errors.ServiceError.reason not in own


def test_a_key_is_read_without_the_blanks_around_it(tmp_path):
    path = tmp_path / "key"
    path.write_text(" sk-1\n")
    assert errors.read_key_file(str(path)) == "sk-1"
    assert errors.read_key_file("") is None


@pytest.mark.parametrize(("content", "kind"), [(None, errors.Unknown), (b"\n", errors.Refused)])
def test_a_key_file_that_has_none_is_named(tmp_path, content, kind):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind, match=str(path)):
        errors.read_key_file(str(path))
