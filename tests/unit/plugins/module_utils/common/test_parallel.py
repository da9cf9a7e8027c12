# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import signal

from ansible_collections.intranet.mcp.plugins.module_utils.common.parallel import Crashed, run_all


def test_results_come_in_the_order_of_the_functions():
    assert run_all([lambda n=n: n * n for n in range(20)], at_once=3) == [n * n for n in range(20)]


def test_functions_run_at_the_same_time():
    """Each waits for what the other writes, so one after the other they would never end."""
    (read_a, write_a), (read_b, write_b) = os.pipe(), os.pipe()

    def first():
        os.write(write_a, b"a")
        return os.read(read_b, 1).decode()

    def second():
        os.write(write_b, b"b")
        return os.read(read_a, 1).decode()

    assert run_all([first, second]) == ["b", "a"]


def test_one_that_raises_or_dies_takes_no_other_with_it():
    def raises():
        raise ValueError("broken")

    def dies():
        os.kill(os.getpid(), signal.SIGKILL)

    raised, died, fine = run_all([raises, dies, lambda: "x" * 300_000])
    assert isinstance(raised, Crashed) and "ValueError at test_parallel.py" in str(raised)
    assert isinstance(died, Crashed) and "wait status 9" in str(died)
    assert len(fine) == 300_000


def test_what_a_function_changes_stays_with_it(monkeypatch):
    def changes():
        os.environ["LEFT_BEHIND"] = "yes"

    run_all([changes])
    assert "LEFT_BEHIND" not in os.environ
