"""What a loop costs the node beside it: 30 steps of 10 ms, and a camera's node of 1 ms at 30 Hz, through `edgemm.stream`.

A step is not interrupted, so what comes during one waits for its end, and no longer. Lateness is from capture to answer, and so holds the node's
own time too. Steps and node pass their time waiting, as for a GPU, so that our schedule is measured and not the system's. Three runs:

    alone            nobody asks
    a question/s     the loop runs 0.3 s of every second
    always           the next question comes before the loop is done, so that it is cancelled and started again, and a step runs at any time

    python tests/benchmarks/bench_loop.py [--seconds 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from reporting import finish, heading, percentiles
from tiny import write_counter

import edgemm

STEPS, STEP_MS, NODE_MS, RATE_HZ, TURNS = 30, 10.0, 1.0, 30, 4
RUNS = {"alone": 0.0, "a question/s": 1.0, "always": 0.25}  # s between two questions, 0 for none


class Metronome:
    """A live source that delivers 1, 2, 3, … into one input, at a rate; it is never late itself: what it could not deliver in time, it skips."""

    live = True

    def __init__(self, input: str, period_s: float, seconds: float) -> None:
        self.inputs = (input,)
        self._period_ns, self._count = int(period_s * 1e9), int(seconds / period_s)
        self._closed = threading.Event()

    def packets(self, stopped: Callable[[], bool]) -> Iterator[edgemm.Packet]:
        """One each period."""
        started_ns = time.monotonic_ns()
        for number in range(1, self._count + 1):
            wait_ns = started_ns + number * self._period_ns - time.monotonic_ns()
            if stopped() or self._closed.wait(max(0, wait_ns) / 1e9):
                return
            yield edgemm.Packet(self.inputs[0], np.array([number], np.float32), time.monotonic_ns(), number)

    def close(self) -> None:
        """Wake it up."""
        self._closed.set()


class Taking:
    """A runner that takes a time of its own."""

    def __init__(self, runner: Any, ms: float) -> None:
        self.inputs, self.outputs, self.close = runner.inputs, runner.outputs, runner.close
        self._runner, self._seconds = runner, ms / 1e3

    def run(self, feeds: Any) -> Any:
        """As the runner, later."""
        time.sleep(self._seconds)
        return self._runner.run(feeds)


class Found:
    """What one of the runs showed, in ms."""

    def __init__(self) -> None:
        self.lateness: list[float] = []
        self.steps: list[float] = []
        self.finals = 0

    def run(self, model: Any, seconds: float, question_s: float) -> None:
        """Stream for so long."""
        inputs: dict[str, Any] = {"b": Metronome("b", 1 / RATE_HZ, seconds)}
        if question_s:
            inputs["a"] = Metronome("a", question_s, seconds)
        story, seen = [], 0
        with edgemm.stream(model, inputs) as stream:
            for result in stream:
                fast = result.outputs.get("fast")
                if (
                    fast is not None and int(fast[0]) != seen
                ):  # the first result with a new frame's answer is that frame's
                    assert int(fast[0]) == seen + 1, "frames are answered in order, and none is lost"
                    seen += 1
                    self.lateness.append((result.timings.done_ns - stream.started_ns - result.at_ns) / 1e6)
                else:
                    self.steps.append(result.compute_ms)
                    story.append(int(result.outputs["story"][0]))
                    self.finals += result.final
            assert stream.drops == {}, stream.drops
        in_order = (after == before + 1 or after % 1000 == 1 for before, after in pairwise(story))
        assert all(in_order), "partial answers come in order"

    def to_json(self) -> dict[str, Any]:
        """Numbers for the table."""
        return {
            "frames": len(self.lateness),
            "lateness_ms": percentiles(self.lateness, 50, 95),
            "steps": len(self.steps),
            "step_ms": percentiles(self.steps, 50, 95) if self.steps else None,
            "finals": self.finals,
        }


def main() -> int:
    """Measure and print; 1 when the node waits for more than one step."""
    parser = argparse.ArgumentParser(description="What a loop costs the node beside it.")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each way, in turns (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    arguments, _ = parser.parse_known_args()  # `make bench` gives every benchmark the same
    found = {name: Found() for name in RUNS}
    with (
        tempfile.TemporaryDirectory() as folder,
        edgemm.open(write_counter(Path(folder) / "counter.edgemm", STEPS)) as model,
    ):
        for name, ms in (("loop", STEP_MS), ("fast", NODE_MS)):
            model.runners[name] = Taking(model.runners[name], ms)
        for _ in range(TURNS):
            for name, question_s in RUNS.items():
                found[name].run(model, arguments.seconds / TURNS, question_s)
    rows = {name: each.to_json() for name, each in found.items()}
    heading(f"a node of {NODE_MS:g} ms at {RATE_HZ} Hz beside a loop of {STEPS} steps of {STEP_MS:g} ms")
    print(
        f"\n{'lateness, ms':<16}{'p50':>8}{'p95':>8}{'max':>8}{'added p95':>11}{'frames':>8}{'step p50':>10}{'steps':>8}{'finals':>8}"
    )
    kept = True
    for name, row in rows.items():
        late, step_ms = row["lateness_ms"], row["step_ms"]["p50"] if row["step_ms"] else 0.0
        row["added_p95_ms"] = added_ms = round(late["p95"] - rows["alone"]["lateness_ms"]["p95"], 3)
        kept = kept and added_ms <= step_ms
        print(
            f"  {name:<14}{late['p50']:>8.2f}{late['p95']:>8.2f}{late['max']:>8.2f}{added_ms:>+11.2f}{row['frames']:>8}"
            f"{step_ms:>10.2f}{row['steps']:>8}{row['finals']:>8}"
        )
    print(f"\na loop makes the node late by at most one step (p95): {'kept' if kept else 'BROKEN'}")
    finish({"loop": rows}, arguments.json)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
