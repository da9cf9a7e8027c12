# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import database
from ansible_collections.intranet.mcp.plugins.module_utils.examine.database import Database

USE = json.dumps({"max_connections": 100, "used": 7, "holders": []})
FULL = "sorry, too many clients already"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (f"{USE}\naccepted\n", {"used": 7, "password_accepted": True, "error": ""}),
        (f'{USE}\n["2025_x y"]\naccepted\n', {"half_done": ["2025_x y"]}),
        (
            f"{USE}\npsql: error: FATAL:  password authentication failed for user\n",
            {"password_accepted": False, "used": 7},
        ),
        (f"WARNING:  collation\nHINT:  x\n{USE}\naccepted\n", {"used": 7, "error": ""}),
        (
            f"psql: error: connection failed: FATAL:  {FULL}\n" * 2,
            {"error": FULL, "password_accepted": None, "is_full": True},
        ),
        ("", {"error": "no answer", "password_accepted": None, "is_full": False}),
    ],
)
def test_answers_of_the_database_are_told_apart(said, expected):
    found = database.parse(said)
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        (Database(used=90, max_connections=100), "passed", "90 of 100 database connections"),
        (Database(used=91, max_connections=100), "failed", "91 of 100 database connections"),
        (Database(error=FULL), "failed", f"refuses everybody: {FULL}"),
    ],
)
def test_connections_must_be_left_for_everybody(found, status, words):
    judged = database.judge_use("database", found)
    assert (judged.status, words in judged.found) == (status, True)


def test_who_holds_the_connections_is_named_when_they_run_out():
    holders = [{"who": "psql idle", "count": 80}, {"who": "litellm", "count": 15}]
    told = [
        database.judge_use("database", Database("", 100, used, holders)).found for used in (7, 95)
    ]
    assert ["80 by psql idle, 15 by litellm" in text for text in told] == [False, True]


@pytest.mark.parametrize(("pool_sum", "status"), [(90, "passed"), (91, "failed")])
def test_pools_must_fit_below_what_the_server_allows(pool_sum, status):
    judged = database.judge_pools("database", pool_sum, 100, 10)
    assert judged.status == status and f"pools may take {pool_sum} connections" in judged.found
