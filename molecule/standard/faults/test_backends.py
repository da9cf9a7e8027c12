# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What gateways and LiteLLM depend on goes away and comes back: database, Redis, models."""

from __future__ import annotations

import pytest
from actions import stopped
from hosts import APP2, DATA
from load import row

SMALL_MODEL = {"model": "smollm2:135m"}
OLLAMAS = ((DATA, "intranet-ollama"), (APP2, "intranet-ollama"))


def test_redis_that_goes_away_costs_nothing(load, report):
    with stopped((DATA, "intranet-redis")) as (began, _gone):
        load.more(20)
    load.more(10)
    cost = row("Redis gone and back", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_keys_that_were_seen_work_on_while_the_database_is_away(load, report):
    with stopped((DATA, "intranet-postgres")) as (began, _gone):
        load.last(60)
        load.more(5)
    load.more(10)
    cost = row("PostgreSQL gone for 60 s and back", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


@pytest.mark.parametrize("load", [SMALL_MODEL], indirect=True)
def test_one_of_two_ollamas_costs_no_new_request(load, report):
    with stopped(OLLAMAS[1]) as (began, gone):
        load.more(5, seconds=300)
    load.more(3, seconds=300)
    cost = row("one Ollama of two gone and back", load, began, cut_at=gone)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


@pytest.mark.parametrize("load", [SMALL_MODEL], indirect=True)
def test_without_any_ollama_the_fallback_answers(load, report):
    with stopped(*OLLAMAS) as (began, gone):
        load.more(5, seconds=300)
        cost = row("every Ollama gone, the company API answers", load, began, cut_at=gone)
        report(cost)
    load.more(3, seconds=300)
    assert cost["failed"] == 0, cost["problems"]
