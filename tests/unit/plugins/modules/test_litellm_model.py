# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decisions of `litellm_model` against a small LiteLLM."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_litellm import MASTER, FakeLiteLLM

SECRET = "sk-secret-of-the-company"
OPTIONS = {
    "litellm_params": {"model": "openai/x", "rpm": 5},
    "secret_params": {"api_key": SECRET},
    "model_info": {"mode": "chat"},
}


@pytest.fixture
def litellm(service):
    fake = FakeLiteLLM(service)
    fake.models = [fake.model("small", in_database=False)]
    return fake


@pytest.fixture
def run(run_module, service):
    def run(check=False, **options):
        name = {} if "models" in options else {"model_name": "own"}
        given = {"litellm_url": service.url, "master_key": MASTER, **name, **options}
        return run_module("litellm_model", check=check, **given)

    return run


def test_model_is_made_once_and_its_secret_never_shown(run, litellm):
    foreseen = run(check=True, **OPTIONS)
    assert foreseen["changed"] and litellm.writes() == []
    made = run(**OPTIONS)
    assert made["changed"] and made["diff"] == foreseen["diff"] and made["model_id"] == "own"
    assert SECRET not in json.dumps(made)
    (request,) = litellm.writes()
    assert request.json()["litellm_params"] == {**OPTIONS["litellm_params"], "api_key": SECRET}
    assert made["model_info"]["managed_by"] == "intranet.mcp"
    assert not run(**OPTIONS)["changed"]


def test_another_secret_is_seen_though_litellm_never_shows_one(run, litellm):
    run(**OPTIONS)
    other = {**OPTIONS, "secret_params": {"api_key": "sk-another"}}
    assert run(check=True, **other)["changed"] and run(**other)["changed"]
    assert litellm.writes()[-1].json()["litellm_params"] == {"api_key": "sk-another"}
    assert not run(**other)["changed"]


def test_only_what_differs_is_sent(run, litellm):
    run(**OPTIONS)
    changed = run(litellm_params={"model": "openai/x", "rpm": 7})
    assert changed["diff"] == {
        "before": {"litellm_params.rpm": 5},
        "after": {"litellm_params.rpm": 7},
    }
    assert litellm.writes()[-1].json() == {
        "litellm_params": {"rpm": 7},
        "model_info": {"id": "own"},
    }


def test_a_name_of_the_file_is_refused(run, litellm):
    result = run(model_name="small", litellm_params={"model": "openai/x"})
    assert result["failed"] and "share the load" in result["msg"]
    assert not run(model_name="small", state="absent")["changed"], "the file's models are not ours"


def test_secrets_that_would_show_and_models_without_a_model_are_refused(run, litellm):
    shown = run(litellm_params={"model": "openai/x", "api_key": SECRET})
    assert shown["failed"] and "secret_params" in shown["msg"]
    assert run(litellm_params={"rpm": 1})["error"]["reason"] == "refused"
    assert run(model_name="")["error"]["reason"] == "refused"
    assert litellm.writes() == []


def test_models_in_the_database_must_be_switched_on(run, litellm):
    litellm.stores_models = False
    result = run(**OPTIONS)
    assert result["error"]["reason"] == "refused" and "litellm_store_models" in result["msg"]


def test_absent_and_prune_leave_what_is_not_ours(run, litellm):
    run(**OPTIONS)
    litellm.models.append(litellm.model("by-hand"))
    assert run(models=[])["surplus"] == ["own"]
    assert run(models=[], prune=True, check=True)["pruned"] == ["own"]
    assert run(models=[], prune=True)["changed"]
    assert [m["model_name"] for m in litellm.models] == ["small", "by-hand"]
    assert run(model_name="by-hand", state="absent")["changed"]
    assert not run(model_name="by-hand", state="absent")["changed"]
