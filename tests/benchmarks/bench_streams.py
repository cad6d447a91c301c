"""What several streams of one model cost: CPU time and memory per stream.

    separate     as many models, each opened for itself
    lives        one model, `model.live()` as often: streams share its sessions
    batch        one model, `model.batch(n)`: rows of several streams run together where that was measured to pay

Every tick pushes an image, a sound and a text into each stream. First each stream is given values of its own, and all ways must answer the same.
Two things are promised: `lives` cost no more than `separate`, and neither does `batch` wherever rows ran together; `batch` elsewhere is told. CPU time is the process's (`process_time`), the ways in turns; memory is
RSS in processes of their own, between one stream and many. Given a bundle, the same is told of it too.

    python tests/benchmarks/bench_streams.py [BUNDLE] [--rounds 40] [--json FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
ROUNDING = 0.01  # of an output's largest value: rows of a batch are added up in another order, in FP16 too


Push = Callable[[], None]
Pusher = tuple[Push, Sequence[Any], dict[str, Any]]


def pusher(way: str, path: Path, streams: int, stack: ExitStack, *, alike: bool = True) -> Pusher:
    """What pushes one tick into every stream, the streams, and what a batch says of itself.

    The caller's own arrays are nobody's cost: all streams get the same ones where they are `alike`, and else each its own.
    """
    models = [stack.enter_context(edgemm.open(path)) for _ in range(streams if way == "separate" else 1)]
    model = models[0]
    generator = np.random.default_rng(0)
    ticks = []
    for _ in range(2):
        rows = {
            name: [kind.example(generator) for _ in range(1 if alike else streams)]
            for name, kind in model.graph.inputs.items()
        }
        ticks.append({name: values * streams if alike else values for name, values in rows.items()})
    turn = 0

    if way == "batch":
        batch = model.batch(streams)

        def push() -> None:
            nonlocal turn
            turn += 1
            for name, values in ticks[turn % 2].items():
                batch.push(name, values, turn * TICK_NS)

        return push, batch.streams, {name: measured._asdict() for name, measured in batch.batched.items()}

    lives = [models[index % len(models)].live() for index in range(streams)]

    def push_each() -> None:
        nonlocal turn
        turn += 1
        for index, live in enumerate(lives):
            for name, values in ticks[turn % 2].items():
                live.push(name, values[index], turn * TICK_NS)

    return push_each, lives, {}


def check(path: Path, streams: int) -> None:
    """Every stream says the same whichever way it is pushed, or the benchmark means nothing."""
    said = {}
    for way in WAYS:
        with ExitStack() as stack:
            push, lives, _ = pusher(way, path, streams, stack, alike=False)
            for _ in range(4):
                push()
            said[way] = [live.answer(4 * TICK_NS, 4 * TICK_NS).tensors for live in lives]
    for way in WAYS[1:]:
        for expected, got in zip(said["separate"], said[way], strict=True):
            assert expected, "a stream that says nothing proves nothing"
            assert got.keys() == expected.keys()
            for name, tensors in expected.items():
                for tensor, array in tensors.items():
                    atol = ROUNDING * float(np.abs(array).max(initial=0.0)) if array.dtype.kind == "f" else 0.0
                    np.testing.assert_allclose(got[name][tensor], array, rtol=0.0, atol=atol, err_msg=f"{way}: {name}")


def cpu_us(path: Path, streams: int, rounds: int, per_round: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Way -> CPU time of one tick of one stream (median of rounds, in turns), and what the batch found to pay."""
    with ExitStack() as stack:
        made = {way: pusher(way, path, streams, stack) for way in WAYS}
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(rounds + 2):  # the first two are warming up
            for way in WAYS[number % 3 :] + WAYS[: number % 3]:
                push = made[way][0]
                push()
                started = time.process_time_ns()
                for _ in range(per_round):
                    push()
                times[way].append((time.process_time_ns() - started) / per_round / streams / 1e3)
        return {way: round(median(row[2:]), 2) for way, row in times.items()}, made["batch"][2]


def rss_bytes(way: str, path: Path, streams: int) -> int:
    """Resident memory of a fresh process that runs so many streams."""
    command = [sys.executable, __file__, str(path), "--resident", way, str(streams)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def resident(way: str, path: Path, streams: int) -> int:
    """The same, in that process."""
    with ExitStack() as stack:
        push = pusher(way, path, streams, stack)[0]
        for _ in range(50):
            push()
        status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def measure(path: Path, rounds: int, per_round: int) -> dict[str, Any]:
    """Everything about one bundle."""
    cpu, pays = {}, {}
    for streams in COUNTS:
        check(path, streams)
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
        together = ", ".join(name for name, measured in found["batched"][streams].items() if measured["pays"])
        judged = ("lives", "batch") if together else ("lives",)
        slow = [way for way in judged if row[way] > NOISE * row["separate"]]
        kept = kept and not slow
        verdict = f"   {' and '.join(slow)}: BROKEN" if slow else ""
        print(f"  {streams:<10}" + "".join(f"{row[way]:>12.1f}" for way in WAYS) + f"   {together or '-'}{verdict}")
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
