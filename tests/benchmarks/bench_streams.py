"""What several streams of one model cost: CPU time and memory per stream.

    separate     as many models, each opened for itself
    lives        one model, `model.live()` as often: streams share its sessions
    batch        one model, `model.batch(n)`: rows of several streams run together where that was measured to pay

Every tick pushes an image, a sound and a text into each stream. CPU time is the process's (`process_time`), the ways in turns; memory is
RSS in processes of their own, between one stream and many. Given a bundle, the same is told of it too.

    python tests/benchmarks/bench_streams.py [BUNDLE] [--rounds 40] [--json FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from reporting import finish, heading
from tiny import write_tiny

import edgemm

COUNTS = (1, 2, 4, 8)
WAYS = ("separate", "lives", "batch")
TICK_NS = 33_000_000
LIMIT_BYTES = 2_000_000
NOISE = 1.05  # of the median of many rounds on a shared machine


def pusher(way: str, path: Path, streams: int, stack: ExitStack) -> tuple[Callable[[], None], dict[str, Any]]:
    """What pushes one tick into every stream, and what a batch says of itself."""
    models = [stack.enter_context(edgemm.open(path)) for _ in range(streams if way == "separate" else 1)]
    model = models[0]
    generator = np.random.default_rng(0)
    # the caller's own arrays are nobody's cost: all streams get the same ones
    ticks = [{name: kind.example(generator) for name, kind in model.graph.inputs.items()} for _ in range(2)]
    turn = 0

    if way == "batch":
        batch = model.batch(streams)

        def push() -> None:
            nonlocal turn
            turn += 1
            for name, value in ticks[turn % 2].items():
                batch.push(name, [value] * streams, turn * TICK_NS)

        return push, {name: measured._asdict() for name, measured in batch.batched.items()}

    lives = [models[index % len(models)].live() for index in range(streams)]

    def push_each() -> None:
        nonlocal turn
        turn += 1
        for live in lives:
            for name, value in ticks[turn % 2].items():
                live.push(name, value, turn * TICK_NS)

    return push_each, {}


def cpu_us(path: Path, streams: int, rounds: int, per_round: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Way -> CPU time of one tick of one stream (median of rounds, in turns), and what the batch found to pay."""
    with ExitStack() as stack:
        made = {way: pusher(way, path, streams, stack) for way in WAYS}
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(rounds + 2):  # the first two are warming up
            for way in WAYS[number % 3 :] + WAYS[: number % 3]:
                push, _ = made[way]
                push()
                started = time.process_time_ns()
                for _ in range(per_round):
                    push()
                times[way].append((time.process_time_ns() - started) / per_round / streams / 1e3)
        return {way: round(median(row[2:]), 2) for way, row in times.items()}, made["batch"][1]


def rss_bytes(way: str, path: Path, streams: int) -> int:
    """Resident memory of a fresh process that runs so many streams."""
    command = [sys.executable, __file__, str(path), "--resident", way, str(streams)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def resident(way: str, path: Path, streams: int) -> int:
    """The same, in that process."""
    with ExitStack() as stack:
        push, _ = pusher(way, path, streams, stack)
        for _ in range(50):
            push()
        status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def measure(path: Path, rounds: int, per_round: int) -> dict[str, Any]:
    """Everything about one bundle."""
    cpu, pays = {}, {}
    for streams in COUNTS:
        cpu[streams], pays[streams] = cpu_us(path, streams, rounds, per_round)
    most = COUNTS[-1]
    rss = {}
    for way in WAYS:
        rows = [(rss_bytes(way, path, most) - rss_bytes(way, path, 1)) / (most - 1) for _ in range(3)]
        rss[way] = round(median(rows))
    return {"cpu_us": cpu, "batched": pays, "rss_bytes_per_further_stream": rss}


def show(title: str, found: dict[str, Any]) -> bool:
    """Print; whether sharing costs nothing, and memory keeps its limit."""
    print(f"\n{title}: CPU us per tick and stream")
    print(f"  {'streams':<10}" + "".join(f"{way:>12}" for way in WAYS) + "   runs together")
    kept = True
    for streams, row in found["cpu_us"].items():
        kept = kept and min(row["lives"], row["batch"]) <= NOISE * row["separate"]
        together = ", ".join(name for name, measured in found["batched"][streams].items() if measured["pays"]) or "-"
        print(f"  {streams:<10}" + "".join(f"{row[way]:>12.1f}" for way in WAYS) + f"   {together}")
    rss = found["rss_bytes_per_further_stream"]
    print("  RSS per further stream, MB: " + ", ".join(f"{way} {rss[way] / 1e6:.2f}" for way in WAYS))
    return kept and max(rss["lives"], rss["batch"]) <= LIMIT_BYTES


def main() -> int:
    """Measure and print; 1 when sharing a model costs more than not sharing it, or a stream more than 2 MB."""
    parser = argparse.ArgumentParser(description="What several streams of one model cost.")
    parser.add_argument("bundle", nargs="?", type=Path, help="also measure this bundle")
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each way (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    parser.add_argument("--resident", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.resident:
        print(resident(arguments.resident[0], arguments.bundle, int(arguments.resident[1])))
        return 0
    heading("several streams of one model")
    with tempfile.TemporaryDirectory() as folder:
        found = {"tiny": measure(write_tiny(Path(folder) / "tiny.edgemm"), arguments.rounds, 100)}
    kept = show("three encoders + fusion, tiny graphs", found["tiny"])
    if arguments.bundle is not None:
        found["bundle"] = measure(arguments.bundle, arguments.rounds, 10)
        kept = show(str(arguments.bundle), found["bundle"]) and kept
    print(
        f"\nsharing a model costs no CPU and at most {LIMIT_BYTES / 1e6:g} MB per stream: {'kept' if kept else 'BROKEN'}"
    )
    finish({"streams": found}, arguments.json)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
