# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Many tool servers behind one gateway, and many sessions that do nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gateway_lab import Lab, free_port
from loadgen import LEGACY, MODERN, LoadError, Session, Target, decode, open_sessions
from process import tree
from targets import ROWS, UPSTREAM, Running, gateway_configuration
from upstream import KEY

MIB = 1 << 20
UPSTREAMS, TOOLS, LISTINGS = 100, 50, 20
SESSIONS = 1000
OPENINGS, OPENING_SECONDS, SLOW_SECONDS = 100, 30, 9
IDLE_SECONDS = 5


async def many_upstreams(work: Path) -> dict:
    """List 5,000 tools of 100 upstreams, in both eras."""
    with Lab(work) as lab:
        tools, port = free_port(), free_port()
        lab.start("many", [*UPSTREAM, "http", str(tools), "--tools", str(TOOLS)], tools)
        upstreams = {
            f"server-{n}": {
                "type": "http",
                "url": f"http://127.0.0.1:{tools}/{n}/mcp",
                "required": True,
            }
            for n in range(UPSTREAMS)
        }
        configuration = gateway_configuration(port, work / "many.jsonl", tools, upstreams)
        started = time.monotonic()
        gateway = lab.gateway(configuration, "many-gateway")
        report = {
            "ready_seconds": time.monotonic() - started,
            "rss_mib": tree(gateway.pid)[0].rss / MIB,
        }
        print(
            f"\ntools/list over {UPSTREAMS} upstreams x {TOOLS} tools: all up after "
            f"{report['ready_seconds']:.1f} s, {report['rss_mib']:.0f} MiB"
        )
        for era in (LEGACY, MODERN):
            target = Target(f"http://127.0.0.1:{port}/mcp", key=KEY, era=era)
            [session] = await open_sessions(target, 1)
            report[era] = await _listings(session, gateway.pid)
            session.close()
            line = report[era]
            print(
                f"  {era}: {line['tools']} tools on {line['pages']} pages, "
                f"{line['bytes'] / MIB:.1f} MiB; whole list p50 {line['p50_ms']:.1f} ms, slowest "
                f"{line['max_ms']:.1f} ms, CPU {line['cpu_ms']:.1f} ms",
                flush=True,
            )
        report["rss_after_mib"] = tree(gateway.pid)[0].rss / MIB
        print(f"  afterwards {report['rss_after_mib']:.0f} MiB")
    return report


async def connecting(work: Path) -> list[dict]:
    """Connect to `/mcp`: what every CLI waits for at each start, with and without a slow server."""
    found = []
    print("\ninitialize at /mcp", flush=True)
    for slow in (0, SLOW_SECONDS):
        with Lab(work) as lab:
            quick, late, port = free_port(), free_port(), free_port()
            lab.start("quick", [*UPSTREAM, "http", str(quick)], quick)
            lab.start("late", [*UPSTREAM, "http", str(late), "--slow", str(slow)], late)
            upstreams = {
                name: {"type": "http", "url": f"http://127.0.0.1:{at}/mcp", "required": True}
                for name, at in (("quick", quick), ("late", late))
            }
            audit = work / "connecting.jsonl"
            lab.gateway(gateway_configuration(port, audit, quick, upstreams), "connecting")
            target = Target(f"http://127.0.0.1:{port}/mcp", key=KEY, era=LEGACY)
            times = await _openings(target)
        found.append({"slow_seconds": slow, "p50_ms": _middle(times), "max_ms": max(times)})
        what = f"one server takes {slow} s to initialize" if slow else "all servers are quick"
        print(
            f"  {what}: p50 {_middle(times):.1f} ms, slowest {max(times):.1f} ms "
            f"({len(times)} times)",
            flush=True,
        )
    return found


async def _openings(target: Target) -> list[float]:
    """Open one session after the other, for a bounded time; milliseconds of each `initialize`."""
    times: list[float] = []
    ends = time.monotonic() + OPENING_SECONDS
    while len(times) < OPENINGS and time.monotonic() < ends:
        session = Session(target)
        await session.connect()
        started = time.perf_counter()
        await session.initialize()
        times.append(1000 * (time.perf_counter() - started))
        session.close()
    return times


def _middle(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]


async def _listings(session: Session, pid: int) -> dict:
    """Read the whole list again and again; LoadError unless it is whole each time."""
    times = []
    before = tree(pid)[0].cpu
    for _ in range(LISTINGS):
        seconds = 0.0
        names: set[str] = set()
        size = pages = 0
        cursor = None
        while pages == 0 or cursor is not None:
            started = time.perf_counter()
            answer = await session.post("tools/list", {"cursor": cursor} if cursor else {})
            seconds += time.perf_counter() - started  # without decoding, which is the client's
            result = decode(answer)["result"]
            names |= {tool["name"] for tool in result["tools"]}
            size += len(answer.body)
            pages += 1
            cursor = result.get("nextCursor")
        times.append(1000 * seconds)
        if len(names) != UPSTREAMS * TOOLS:
            raise LoadError(f"found {len(names)} tools, expected {UPSTREAMS * TOOLS}")
    cpu = tree(pid)[0].cpu - before
    return {
        "tools": len(names),
        "pages": pages,
        "bytes": size,
        "p50_ms": _middle(times),
        "max_ms": max(times),
        "cpu_ms": 1000 * cpu / LISTINGS,
    }


async def idle_sessions(work: Path, wanted: str) -> list[dict]:
    """Open sessions that then do nothing, without and with an open stream."""
    found = []
    print(f"\n{SESSIONS} idle sessions", flush=True)
    for row in ROWS:
        if row.name == "direct" or "2026" in row.name or wanted not in row.name:
            continue
        if row.is_ours and row.name not in ("gateway /mcp", "gateway, stdio"):
            continue
        with Lab(work) as lab:
            port = free_port()
            lab.start("upstream", [*UPSTREAM, "http", str(port)], port)
            try:
                found.append({"name": row.name, **await _idle(row.start(lab, port))})
            except (LoadError, OSError, TimeoutError) as error:
                print(f"  {row.name:28s} failed: {error!r}"[:300], flush=True)
                continue
        line = found[-1]
        print(
            f"  {line['name']:28s} {line['before_mib']:6.0f} MiB before, {line['after_mib']:6.0f} "
            f"after, {line['streams_mib']:6.0f} with {line['streams']} open streams; opened in "
            f"{line['open_seconds']:.1f} s; idle CPU {line['idle_cpu_percent']:.1f} %",
            flush=True,
        )
    return found


async def _idle(running: Running) -> dict:
    assert running.program is not None
    pid = running.program.pid
    before = tree(pid)[0]
    started = time.monotonic()
    sessions = await open_sessions(running.target, SESSIONS)
    seconds = time.monotonic() - started
    after = tree(pid)[0]
    streams = 0
    for session in sessions:
        try:
            await session.open_stream()
            streams += 1
        except (LoadError, TimeoutError):
            break  # no stream here, or none whose head comes before its first event
    rested = tree(pid)[0]
    await asyncio.sleep(IDLE_SECONDS)  # what is measured is what passing time costs
    return {
        "before_mib": before.rss / MIB,
        "after_mib": after.rss / MIB,
        "open_seconds": seconds,
        "streams": streams,
        "streams_mib": rested.rss / MIB,
        "idle_cpu_percent": 100 * (tree(pid)[0].cpu - rested.cpu) / IDLE_SECONDS,
    }
