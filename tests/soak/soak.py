"""Streams for a long time, with faults that come and go: does anything grow, slow down or get lost?

Two streams of one model. The first is fed with pictures (30 Hz), sound and text by sources in this process, with faults of the kit on a fixed schedule, and has a
callback that stops for a while; the second is fed by an MJPEG camera on loopback that is killed and started again. The schedule is a minute long and ends with a
rest, in which nothing is sent, so that nothing is on its way, and memory is measured. It ends with a table, and 0 when everything holds.

    python tests/soak/soak.py [--minutes 20] [--bundle desk.edgemm] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from judging import shown, verdicts
from measuring import Answers, Sample, keep_little, sample

import edgemm
from edgemm.testing import faults
from edgemm.testing.faults.servers import MjpegCamera

ROUND_S = 60.0
REST_S = 56.0  # from here on in each round nothing is sent
PICTURES_HZ, SOUND_HZ, TEXT_HZ = 30, 50, 2
SOUND_RATE_HZ = 8000
AWAY_S = (20.0, 23.0)  # in each round: the camera's server
BURST_S = (30.0, 40.0)  # texts come in bursts
PAUSE_S = (45.0, 48.0)  # the callback stops
HOUR_MS = 3_600_000
TEXTS = ["add the two numbers", "which one is larger", "请把两个数字加到一起", "what number am I saying", ""]
EXPORT = """
import sys, torch
from pathlib import Path
from edgemm_digit_desk.demo import _export
from edgemm_digit_desk.shipped import Shipped
torch.set_num_threads(1)
_export(Shipped(), Path(sys.argv[1]), ("cpu",))
"""


def on_schedule(rate_hz, *chosen):
    """Each fault for three seconds, then two without any; the whole again every minute."""
    spans = [(5 * number, 5 * number + 3) for number in range(len(chosen))]
    assert spans[-1][1] < REST_S
    timed = [
        faults.during(fault, first=int(first * rate_hz), last=int(last * rate_hz))
        for fault, (first, last) in zip(chosen, spans, strict=True)
    ]
    return faults.rounds(*timed, packets=int(REST_S * rate_hz))


PICTURE_FAULTS = on_schedule(
    PICTURES_HZ, faults.drop(every=3), faults.freeze(after=1), faults.reorder(depth=4), faults.jump(after=0, by_ms=HOUR_MS),
    faults.jump(after=0, by_ms=-300), faults.misname("nobody", every=2), faults.corrupt(None, every=2),
    faults.corrupt(np.zeros((1, 2, 2, 3, 1), np.uint8), every=3), faults.hold_back(packets=5), faults.repeat(every=2),
    faults.gap(after=0, packets=60),
)  # fmt: skip
SOUND_FAULTS = on_schedule(
    SOUND_HZ, faults.drop(every=4), faults.gap(after=0, packets=75), faults.skew(ms=-200), faults.corrupt(np.zeros(3), every=2),
    faults.repeat(every=3), faults.jump(after=0, by_ms=1.7e12), faults.reorder(depth=2), faults.freeze(after=1),
)  # fmt: skip


class Paced:
    """A live source at a rate, until it is told to end; it pauses in each rest."""

    live = True

    def __init__(self, name, make, rate_hz, soak):
        self.inputs = (name,)
        self._make, self._rate_hz, self._soak = make, rate_hz, soak

    def packets(self, stopped):
        per_round = int(REST_S * self._rate_hz)
        for number in itertools.count():
            at_s = number // per_round * ROUND_S + number % per_round / self._rate_hz
            if stopped() or self._soak.ended.wait(max(0.0, at_s - self._soak.elapsed_s())):
                return
            yield edgemm.Packet(self.inputs[0], self._make(number), time.monotonic_ns(), number)

    def close(self):
        self._soak.ended.set()


def pictures():
    """Fresh arrays, as a camera gives them."""
    drawn = np.random.default_rng(0).integers(0, 255, (16, 240, 320, 3), np.uint8)
    return lambda number: drawn[number % 16].copy()


def sounds():
    """Blocks of noise that swells and goes."""
    generator, size = np.random.default_rng(1), SOUND_RATE_HZ // SOUND_HZ
    noise = generator.uniform(-0.5, 0.5, (64, size)).astype(np.float32)
    return lambda number: edgemm.Sound(noise[number % 64] * (number // 25 % 3), SOUND_RATE_HZ)


class Texts:
    """A program that puts texts into an inbox, in bursts for a while, from a thread of its own.

    Attributes:
        sent: how many.
    """

    def __init__(self, ended, round_of):
        self.inbox, self.sent = edgemm.Inbox(8), 0
        self._ended, self._round_of = ended, round_of
        self.thread = threading.Thread(target=self._put, name="soak texts")

    def _put(self):
        while not self._ended.wait(1 / TEXT_HZ):
            burst = BURST_S[0] <= self._round_of() < BURST_S[1]
            for _ in range(20 if burst else 1):
                self.inbox.put(TEXTS[self.sent % len(TEXTS)])
                self.sent += 1
        self.inbox.close()


class Soak:
    """Both streams, and what is measured of them."""

    def __init__(self, stack, model, minutes):
        self.ended, self.seconds = threading.Event(), 60 * minutes
        self.samples: list[Sample] = []
        self._stack, self._started_s = stack, time.monotonic()
        self.texts = [Texts(self.ended, self.round_s) for _ in range(2)]
        self.sources = {
            "image": faults.Disturbed(Paced("image", pictures(), PICTURES_HZ, self), PICTURE_FAULTS),
            "audio": faults.Disturbed(Paced("audio", sounds(), SOUND_HZ, self), SOUND_FAULTS),
        }
        self.camera = stack.enter_context(MjpegCamera(pictures()(0)[::4, ::4].copy(), rate_hz=PICTURES_HZ))
        self.answers = [Answers(), Answers()]
        self.streams = [
            self._stream(model, {**self.sources, "text": self.texts[0].inbox}, 0, on_result=self._pause),
            self._stream(model, {"image": self.camera.url(), "text": self.texts[1].inbox}, 1),
        ]

    def _stream(self, model, inputs, number, **options):
        told = self.answers[number]
        stream = self._stack.enter_context(edgemm.stream(model, inputs, observer=told, **options))
        told.started_ns = stream.started_ns
        return stream

    def elapsed_s(self):
        return time.monotonic() - self._started_s

    def round_s(self):
        return self.elapsed_s() % ROUND_S

    def _pause(self, result):
        while PAUSE_S[0] <= self.round_s() < PAUSE_S[1]:
            time.sleep(0.1)

    def run(self):
        """Until the time is over: kill and start the camera, measure in each rest."""
        for texts in self.texts:
            texts.thread.start()
        for start_s in np.arange(0, self.seconds, ROUND_S):
            self._wait_until(start_s + AWAY_S[0])
            self.camera.kill()
            self._wait_until(start_s + AWAY_S[1])
            self.camera.start()
            self._wait_until(start_s + REST_S)
            self._rest(True)
            self._wait_until(start_s + REST_S + 1.5)
            self.samples.append(sample(self.elapsed_s()))
            print(f"{self.samples[-1]}  {self._progress()}", flush=True)
            self._wait_until(start_s + ROUND_S)
            self._rest(False)
        self._wait_until(self.seconds)

    def finish(self):
        """Let everything that was sent come to its end."""
        self.ended.set()
        for texts in self.texts:
            texts.thread.join()
        self.camera.kill()
        done = self.streams[0].wait(30)
        self.streams[1].close()
        self.streams[0].close()
        return done

    def _rest(self, resting):
        for told in self.answers:
            told.paused = resting
        self.camera.process.send_signal(signal.SIGSTOP if resting else signal.SIGCONT)

    def _wait_until(self, at_s):
        time.sleep(max(0.0, at_s - self.elapsed_s()))

    def _progress(self):
        taken = sum(sum(told.taken.values()) for told in self.answers)
        dropped = sum(sum(stream.drops.values()) for stream in self.streams)
        return f"{taken} packets taken, {dropped} dropped"

    def accounts(self):
        """(input, sent, taken, lost by cause) of each input."""
        sent = {
            "image": sum(self.sources["image"].sent.values()),
            "audio": sum(self.sources["audio"].sent.values()),
            "text": self.texts[0].sent,
        }
        rows = [(name, count, *self._fate(0, name)) for name, count in sent.items()]
        frames = self.answers[1].newest["image"] + 1  # the newest is never left out
        return [*rows, ("camera", frames, *self._fate(1, "image"))]

    def _fate(self, number, name):
        causes = Counter(
            {cause: n for (input_, cause), n in self.streams[number].drops_by_cause.items() if input_ == name}
        )
        return self.answers[number].taken[name], causes


def exported(folder):
    """The digit desk's shipped model; by a process of its own, so that what an export leaves is not measured."""
    path = Path(folder) / "desk.edgemm"
    print("exporting the digit desk's model", flush=True)
    subprocess.run([sys.executable, "-c", EXPORT, str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


def main():
    parser = argparse.ArgumentParser(description="Streams for a long time, with faults that come and go.")
    parser.add_argument("--minutes", type=int, default=20, help="how long (default: %(default)s)")
    parser.add_argument("--bundle", type=Path, help="a digit desk; by default the shipped one is exported")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    arguments = parser.parse_args()
    keep_little()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model = stack.enter_context(edgemm.open(arguments.bundle or exported(folder), variant="fp32"))
        soak = Soak(stack, model, arguments.minutes)
        soak.run()
        complete = soak.finish()
        accounts, answers = soak.accounts(), soak.answers
    judged = verdicts(soak.samples, answers, accounts, complete, soak.seconds)
    print(shown(soak.samples, accounts, judged))
    if arguments.json:
        document = {"samples": [one._asdict() for one in soak.samples], "verdicts": [one._asdict() for one in judged]}
        arguments.json.write_text(json.dumps(document, indent=1, default=float), encoding="utf-8")
    return 0 if all(one.holds for one in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
