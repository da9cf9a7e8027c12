# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""LiteLLM's database: who uses its connections, what the pools may take, whether it lets us in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict

FULL_PERCENT = 90
FULL = ("too many clients", "remaining connection slots")
# Statistics over the socket, which asks for no password; then one login over TCP, which does.
SCRIPT = r"""
export PGUSER="$1" PGDATABASE="$2" PGCONNECT_TIMEOUT=4
timeout 8 psql -XAtq -c "$3" 2>&1
timeout 8 psql -XAtq -c "$4" 2>/dev/null
PGPASSWORD=$(cat /secrets/password) timeout 8 psql -h 127.0.0.1 -XAtqc "select 'accepted'" 2>&1
"""
USE = """
select jsonb_build_object(
  'max_connections', current_setting('max_connections')::int,
  'used', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
  'holders', (select coalesce(jsonb_agg(h), '[]') from (
    select concat_ws(' ', nullif(application_name, ''), host(client_addr), state) as who, count(*)
    from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
    group by 1 order by 2 desc limit 3) h))
"""
HALF_DONE = """
select jsonb_agg(migration_name) from _prisma_migrations m
where finished_at is null and rolled_back_at is null and not exists (
  select from _prisma_migrations d where d.migration_name = m.migration_name
  and d.finished_at is not null and d.rolled_back_at is null)
"""


@dataclass(frozen=True)
class Database:
    """What the server says. error: why it does not. password_accepted: None where it is not known.

    holders: who has most connections, each `who` and `count`. half_done: names of migrations.
    """

    error: str = ""
    max_connections: int = 0
    used: int = 0
    holders: list[dict[str, Any]] = field(default_factory=list)
    half_done: list[str] = field(default_factory=list)
    password_accepted: bool | None = None

    @property
    def is_full(self) -> bool:
        """Whether it refuses everybody for want of connections."""
        return any(text in self.error for text in FULL)


def read(engine: Engine, container: str, user: str, name: str) -> Database:
    """Ask the server in its own container, which has the password."""
    command = ["sh", "-c", SCRIPT, "ask", user, name, USE, HALF_DONE]
    return parse(engine.run(container, command).text)


def parse(said: str) -> Database:
    """Return three answers: use as JSON or an error, half-done migrations, the login. Pure."""
    lines = [line for line in said.splitlines() if line.strip()]
    use: dict[str, Any] = {}
    # Warnings of the client may stand before what the server says.
    if answer := next((line for line in lines if line.startswith("{")), ""):
        use = json.loads(answer)
    else:
        use["error"] = lines[0].rpartition("FATAL: ")[2].strip() if lines else "no answer"
    half_done = next((json.loads(line) for line in lines if line.startswith("[")), [])
    login = lines[-1] if lines else ""
    is_refused = "password authentication failed" in login
    accepted = True if login == "accepted" else False if is_refused else None
    return Database(**use, half_done=half_done, password_accepted=accepted)


def judge_use(check: str, found: Database) -> Finding:
    """Return whether there are connections left for everybody. Pure."""
    limit = found.max_connections
    is_good = not found.is_full and found.used * 100 <= limit * FULL_PERCENT
    text = f"{found.used} of {limit} database connections are used"
    if found.is_full:
        text = f"the database refuses everybody: {found.error}"
    if found.holders and not is_good:
        text += " (" + ", ".join(f"{h['count']} by {h['who']}" for h in found.holders) + ")"
    return Finding(
        check,
        text,
        f"at most {FULL_PERCENT} %: LiteLLM answers 401 to good keys when it gets none",
        "end the program that holds them, lower litellm_db_pool, or raise "
        "platform_database.max_connections",
        service="postgres",
        status=verdict(is_good),
    )


def judge_pools(check: str, pool_sum: int, allowed: int, reserve: int) -> Finding:
    """Return whether the server can give what LiteLLM's pools may take at most. Pure."""
    return Finding(
        check,
        f"pools may take {pool_sum} connections (hosts x workers x pool)",
        f"at most {allowed - reserve}: the {allowed} that the database allows less {reserve}",
        "lower litellm_db_pool or litellm_workers, or raise platform_database.max_connections",
        status=verdict(pool_sum <= allowed - reserve),
    )
