# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_models


def test_embedding_models_are_asked_for_vectors_only():
    checks = verify_models.model_checks({"name": "e", "embedding": True}, ["chat"])["checks"]
    assert checks == ["models", "embedding"]


def test_an_api_is_asked_for_under_the_name_that_users_know():
    asked = verify_models.model_checks({"model_name": "large:1", "model": "x"}, ["chat"])
    assert (asked["name"], asked["gemini_name"]) == ("large:1", "large-1")
