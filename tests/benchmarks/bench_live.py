"""What pushing into EdgeMM adds to plain ONNX Runtime: three encoders and a fusion per tick, and one encoder alone.

The graphs are tiny and their inputs have real sizes (a 640x480 frame, a second of sound, 32 ids), so that nearly all of the time is
overhead. Four ways to compute the same answer take turns in one process:

    bare             chained `session.run(None, {...})`, as most write it by hand; what the promise is measured from
    pushed           `live.push` of the three inputs; the fusion waits for all of them (policy `barrier`)
    bound by hand    ONNX Runtime's IO binding as an expert writes it for this one model: outputs bound once and chained into the fusion, inputs
                     bound at every tick, presence and age written, the answer copied and looked at for NaN; no times, states or failures
    floor            everything bound once, inputs that never change: nobody can be faster

Results are owned by the caller in all of them. Of the one encoder there are `bare` and `pushed`. Given a bundle, the same is told of its graphs by `edgemm.profile`.

    python tests/benchmarks/bench_live.py [BUNDLE] [--rounds 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from reporting import finish, heading
from tiny import NAMES, WIDTH, write_one, write_tiny

import edgemm

PER_ROUND = 100
PAUSE_S = 0.005
PROMISE_US = 30.0


class Contest:
    """The four ways, on the same sessions and the same arrays."""

    def __init__(self, model: edgemm.runtime.model.Model) -> None:  # type: ignore[name-defined, unused-ignore]
        generator = np.random.default_rng(0)
        self.frames = [generator.integers(0, 255, (480, 640, 3), np.uint8) for _ in range(2)]
        self.sounds = [generator.uniform(-1, 1, 16000).astype(np.float32) for _ in range(2)]
        self.ids = [generator.integers(0, 999, 32, np.int32) for _ in range(2)]
        self.sessions = {name: runner.session for name, runner in model.runners.items()}
        self.live = model.live()
        self.now_ns = 0
        self.presence, self.age = np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32)
        self._bound, self._answer = self._bind()
        self._by_hand, self._answer_by_hand = self._bind()

    def bare(self, turn: int) -> np.ndarray:
        """Chained by hand."""
        run = self.sessions
        image, image_valid = run["image"].run(None, {"x": self.frames[turn][np.newaxis]})
        audio, audio_valid = run["audio"].run(None, {"x": self.sounds[turn][np.newaxis]})
        text, text_valid = run["text"].run(None, {"x": self.ids[turn][np.newaxis]})
        (answer,) = run["fusion"].run(
            None,
            {
                "image_tokens": image,
                "image_valid": image_valid,
                "audio_tokens": audio,
                "audio_valid": audio_valid,
                "text_tokens": text,
                "text_valid": text_valid,
                "presence": self.presence,
                "age_ms": self.age,
            },
        )
        return answer[0]

    def pushed(self, turn: int) -> Any:
        """Through the runtime; capture times grow."""
        self.now_ns = now_ns = self.now_ns + 33_000_000
        self.live.push("image", self.frames[turn], now_ns)
        self.live.push("audio", self.sounds[turn], now_ns)
        return self.live.push("text", self.ids[turn], now_ns)

    def by_hand(self, turn: int) -> np.ndarray:
        """Bound by an expert."""
        (image, image_io), (audio, audio_io), (text, text_io), (fusion, fusion_io) = self._by_hand
        image_io.bind_cpu_input("x", self.frames[turn][np.newaxis])
        image.run_with_iobinding(image_io)
        audio_io.bind_cpu_input("x", self.sounds[turn][np.newaxis])
        audio.run_with_iobinding(audio_io)
        text_io.bind_cpu_input("x", self.ids[turn][np.newaxis])
        text.run_with_iobinding(text_io)
        self.presence[0], self.age[0] = 1.0, 0.0
        fusion.run_with_iobinding(fusion_io)
        answer = self._answer_by_hand[0].copy()
        if not np.isfinite(answer).all():
            raise ValueError("the answer is not finite")
        return answer

    def floor(self, turn: int) -> np.ndarray:
        """Everything bound once."""
        for session, binding in self._bound:
            session.run_with_iobinding(binding)
        return self._answer[0].copy()

    def _bind(self) -> tuple[list[tuple[Any, Any]], np.ndarray]:
        """Sessions with their bindings, outputs chained, inputs of the first turn; and the answer's array."""
        inputs = {"image": self.frames[0], "audio": self.sounds[0], "text": self.ids[0]}
        bound = []
        handles = {}
        for name in NAMES:
            binding = self.sessions[name].io_binding()
            binding.bind_cpu_input("x", inputs[name][np.newaxis])
            for part, array in (("tokens", np.zeros((1, 1, WIDTH), np.float32)), ("valid", np.zeros((1, 1), bool))):
                handles[f"{name}_{part}"] = ort.OrtValue.ortvalue_from_numpy(array)
                binding.bind_ortvalue_output(part, handles[f"{name}_{part}"])
            bound.append((self.sessions[name], binding))
        binding = self.sessions["fusion"].io_binding()
        for name, handle in handles.items():
            binding.bind_ortvalue_input(name, handle)
        binding.bind_cpu_input("presence", self.presence)
        binding.bind_cpu_input("age_ms", self.age)
        handle = ort.OrtValue.ortvalue_from_numpy(np.zeros((1, WIDTH), np.float32))
        binding.bind_ortvalue_output("answer", handle)
        bound.append((self.sessions["fusion"], binding))
        return bound, handle.numpy()

    def check(self) -> None:
        """Bit-identical answers, or the benchmark means nothing."""
        for turn in (0, 1):
            expected = self.bare(turn)
            np.testing.assert_array_equal(self.pushed(turn).outputs["answer"], expected)
            np.testing.assert_array_equal(self.by_hand(turn), expected)
        np.testing.assert_array_equal(self.floor(0), self.bare(0))


class One:
    """The same of one encoder, whose tokens are the answer."""

    def __init__(self, model: edgemm.runtime.model.Model) -> None:  # type: ignore[name-defined, unused-ignore]
        self.frames = [np.random.default_rng(seed).integers(0, 255, (480, 640, 3), np.uint8) for seed in range(2)]
        self.session = model.runners["image"].session
        self.live = model.live()
        self.now_ns = 0

    def bare(self, turn: int) -> np.ndarray:
        """By hand."""
        return self.session.run(None, {"x": self.frames[turn][np.newaxis]})[0][0]  # type: ignore[no-any-return]

    def pushed(self, turn: int) -> Any:
        """Through the runtime."""
        self.now_ns = now_ns = self.now_ns + 33_000_000
        return self.live.push("image", self.frames[turn], now_ns)

    def check(self) -> None:
        """Bit-identical answers."""
        for turn in (0, 1):
            np.testing.assert_array_equal(self.pushed(turn).outputs["answer"], self.bare(turn))


def measure(ways: dict[str, Callable[[int], Any]], rounds: int, per_round: int, pause_s: float) -> dict[str, list[int]]:
    """Way -> ns per tick; the ways take turns, and who begins a round changes."""
    times: dict[str, list[int]] = {name: [] for name in ways}
    clock, sleep = time.perf_counter_ns, time.sleep
    order = list(ways.items())
    for number in range(rounds):
        for name, way in order[number % len(order) :] + order[: number % len(order)]:
            for warm in range(3):
                way(warm % 2)
            row = times[name]
            for index in range(per_round):
                if pause_s:
                    sleep(pause_s)
                started = clock()
                result = way(index % 2)
                row.append(clock() - started)
                del result
    return times


def summary(times: dict[str, list[int]]) -> dict[str, Any]:
    """Percentiles in us, and what is added to bare."""
    rows = {
        name: {f"p{p}_us": round(float(np.percentile(row, p)) / 1e3, 2) for p in (50, 95, 99)} | {"runs": len(row)}
        for name, row in times.items()
    }
    bare_us = rows["bare"]["p50_us"]
    for row in rows.values():
        row |= {"added_p50_us": round(row["p50_us"] - bare_us, 2), "ratio_p50": round(row["p50_us"] / bare_us, 3)}
    return rows


def main() -> int:
    """Measure and print; 1 when pushed mode breaks its promise."""
    parser = argparse.ArgumentParser(description="What pushing into EdgeMM adds to plain ONNX Runtime.")
    parser.add_argument("bundle", nargs="?", type=Path, help="also profile this bundle")
    parser.add_argument("--rounds", type=int, default=60, help=f"rounds of {PER_ROUND} ticks (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, edgemm.open(write_tiny(Path(folder) / "tiny.edgemm")) as model:
        contest = Contest(model)
        contest.check()
        ways = {
            "bare": contest.bare,
            "pushed": contest.pushed,
            "bound by hand": contest.by_hand,
            "floor": contest.floor,
        }
        measure(ways, 3, PER_ROUND, 0.0)  # warm
        found = {
            "back to back": summary(measure(ways, arguments.rounds, PER_ROUND, 0.0)),
            "5 ms of sleep between": summary(measure(ways, max(2, arguments.rounds // 5), PER_ROUND // 2, PAUSE_S)),
        }
        with edgemm.open(write_one(Path(folder) / "one.edgemm")) as single:
            one = One(single)
            one.check()
            ways = {"bare": one.bare, "pushed": one.pushed}
            measure(ways, 3, PER_ROUND, 0.0)
            found["one encoder, back to back"] = summary(measure(ways, arguments.rounds, PER_ROUND, 0.0))
    heading("three encoders + fusion per tick, tiny graphs")
    for title, rows in found.items():
        print(f"\n{title:<26}{'p50 us':>10}{'p95 us':>10}{'p99 us':>10}{'added p50':>11}{'ratio':>8}{'runs':>8}")
        for name, row in rows.items():
            print(
                f"  {name:<24}{row['p50_us']:>10.1f}{row['p95_us']:>10.1f}{row['p99_us']:>10.1f}"
                f"{row['added_p50_us']:>+11.1f}{row['ratio_p50']:>8.2f}{row['runs']:>8}"
            )
    added = found["back to back"]["pushed"]["added_p50_us"]
    kept = added <= PROMISE_US
    print(
        f"\npushed mode adds {added:+.1f} us p50 back to back: {'kept' if kept else 'BROKEN'} (promise: <= {PROMISE_US:.0f} us)"
    )
    document: dict[str, Any] = {"tiny": found}
    if arguments.bundle is not None:
        profile = edgemm.profile(arguments.bundle)
        print(f"\n{profile}")
        document["bundle"] = profile.to_json()
    finish(document, arguments.json)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
