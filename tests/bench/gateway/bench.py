# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The gateway with everything on (key checked at LiteLLM and cached, policy, rate limit, audit to a
file, metrics) beside a direct connection and other proxies, in one run, on loopback.

    python tests/bench/gateway/bench.py [--seconds 5] [--connections 1,16,64] [--rows gateway]
                                        [--skip connect,many,idle] [--json FILE]

Columns: calls a second; latency; CPU milliseconds a call (user + system) of the proxy's processes,
of the tool server, and of the load generator; resident memory before and after the calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from gateway_lab import Lab, LabError, Unreachable, free_port  # noqa: E402
from loadgen import LoadError, measure, open_sessions  # noqa: E402
from process import machine, tree  # noqa: E402
from scale import connecting, idle_sessions, many_upstreams  # noqa: E402
from targets import ROWS, UPSTREAM, Row, Running, audit_file  # noqa: E402

MIB = 1 << 20
GOAL_CPU_MS, GOAL_RSS_MIB = 1.0, 60
WARM_UP_SECONDS = 1.0
HEAD = (
    f"{'':28s} {'conns':>5s} {'calls/s':>8s} {'p50 ms':>7s} {'p99 ms':>7s} {'CPU ms':>7s} "
    f"{'server':>7s} {'load':>6s} {'MiB':>5s} {'after':>6s}"
)


async def measure_row(row: Row, options: argparse.Namespace, work: Path) -> list[dict]:
    """Start one proxy, call through it with each number of connections."""
    rows = []
    with Lab(work) as lab:
        upstream_port = free_port()
        upstream = lab.start("upstream", [*UPSTREAM, "http", str(upstream_port)], upstream_port)
        running = row.start(lab, upstream_port)
        made = 0
        for connections in options.connections:
            sessions = await open_sessions(running.target, connections)
            await measure(sessions, min(WARM_UP_SECONDS, options.seconds))
            before = usage(running, upstream.pid)
            result = await measure(sessions, options.seconds)
            after = usage(running, upstream.pid)
            calls = max(1, result.calls)
            rows.append(
                {
                    "name": row.name,
                    "connections": connections,
                    "calls_per_second": result.calls / result.seconds,
                    "p50_ms": result.percentile(0.5),
                    "p99_ms": result.percentile(0.99),
                    "cpu_ms": 1000 * (after[0].cpu - before[0].cpu) / calls,
                    "server_cpu_ms": 1000 * (after[1].cpu - before[1].cpu) / calls,
                    "load_cpu_ms": 1000 * result.cpu_seconds / calls,
                    "rss_mib": before[0].rss / MIB,
                    "rss_after_mib": after[0].rss / MIB,
                    "errors": len(result.errors),
                    "first_error": result.errors[0] if result.errors else "",
                }
            )
            show(rows[-1])
            made += sum(session.calls for session in sessions)
            for session in sessions:
                session.close()
        if row.is_ours:
            rows[-1]["proof"] = await prove(running, lab, upstream_port, made)
            print(f"{'':28s} {rows[-1]['proof']}", flush=True)
    return rows


def usage(running: Running, upstream: int):
    """Return the usage of (the proxy, all tool servers)."""
    server = tree(upstream)[0]
    if running.program is None:
        return (tree(upstream)[1], server)  # nothing, with the right type
    own, children = tree(running.program.pid)
    return own, server + children


async def prove(running: Running, lab: Lab, upstream: int, made: int) -> str:
    """Show that authentication, policy and audit really were at work; LabError if one was not."""
    with urllib.request.urlopen(f"http://127.0.0.1:{upstream}/lookups", timeout=10) as response:
        lookups = int(response.read())
    [session] = await open_sessions(running.target, 1)
    forbidden = running.target.tool.replace("echo", "delete_everything")
    answer = await session.result("tools/call", {"name": forbidden, "arguments": {}}, forbidden)
    session.close()
    if "no-deletes" not in json.dumps(answer):
        raise LabError(f"policy should have refused {forbidden} by rule no-deletes: {answer}")
    try:
        await open_sessions(running.target._replace(key="wrong", era="2025-06-18"), 1)
        raise LabError("a wrong key should have been refused")
    except LoadError as error:
        if "401" not in str(error):
            raise LabError(f"a wrong key should have been refused with 401: {error}") from None
    assert running.program is not None
    lab.stop(running.program)  # which writes what audit lines are still queued
    lines = [json.loads(line) for line in audit_file(lab).read_text().splitlines()]
    audit_file(lab).unlink()
    calls = [line for line in lines if line["method"] == "tools/call" and line["caller"] == "bench"]
    if len(calls) != made + 1:
        raise LabError(
            f"found {len(calls)} audited calls of caller bench, made {made} and one denied"
        )
    return f"(audited all {made} calls; key looked up {lookups} x; wrong key 401; rule refuses)"


def show(row: dict) -> None:
    """Print one line of the table."""
    note = f"  {row['errors']} errors: {row['first_error'][:100]}" if row["errors"] else ""
    print(
        f"{row['name']:28s} {row['connections']:5d} {row['calls_per_second']:8.0f} "
        f"{row['p50_ms']:7.2f} {row['p99_ms']:7.2f} {row['cpu_ms']:7.2f} "
        f"{row['server_cpu_ms']:7.2f} {row['load_cpu_ms']:6.2f} {row['rss_mib']:5.0f} "
        f"{row['rss_after_mib']:6.0f}{note}",
        flush=True,
    )


def judge(rows: list[dict]) -> bool:
    """Print whether the goal is met: CPU a call wherever we are measured, memory when idle."""
    ours = [row for row in rows if row["name"].startswith("gateway")]
    if not ours:
        return True
    cpu = max(row["cpu_ms"] for row in ours)
    rss = max(row["rss_mib"] for row in ours if row["connections"] == ours[0]["connections"])
    met = cpu <= GOAL_CPU_MS and rss <= GOAL_RSS_MIB
    print(
        f"\ngoal {'met' if met else 'MISSED'}: at most {GOAL_CPU_MS} ms CPU a call, "
        f"found up to {cpu:.2f}; at most {GOAL_RSS_MIB} MiB idle, found {rss:.0f}"
    )
    return met


async def run(options: argparse.Namespace, work: Path) -> dict:
    """Measure everything that was asked for."""
    report: dict = {"machine": machine(), "seconds": options.seconds, "rows": []}
    print("  ".join(f"{key}: {value}" for key, value in report["machine"].items()))
    print(f"\n{HEAD}", flush=True)
    for row in ROWS:
        if options.rows and options.rows not in row.name:
            continue
        try:
            report["rows"] += await measure_row(row, options, work)
        except Unreachable as error:
            print(f"{row.name:28s} not measured: {error}", flush=True)
        except (LoadError, TimeoutError) as error:
            print(f"{row.name:28s} failed: {error!r}", flush=True)
            report["rows"].append({"name": row.name, "failed": repr(error)})
    rows = [row for row in report["rows"] if "failed" not in row]
    report["goal_met"] = judge(rows)
    if "connect" not in options.skip:
        report["connecting"] = await connecting(work)
    if "many" not in options.skip:
        report["many_upstreams"] = await many_upstreams(work)
    if "idle" not in options.skip:
        report["idle_sessions"] = await idle_sessions(work, options.rows)
    return report


def main() -> int:
    """Read the arguments, measure, and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument(
        "--connections",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[1, 16, 64],
    )
    parser.add_argument("--rows", default="", help="only rows whose name contains this")
    parser.add_argument("--skip", default="", help="any of connect, many, idle, with commas")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        try:
            report = asyncio.run(run(options, Path(work)))
        except LabError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
