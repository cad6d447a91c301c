"""The sample clip through the runtime: answers follow sound and picture, so shifting the sound changes them and losing it is said."""

from __future__ import annotations

import pytest

import edgemm
from edgemm.host.entries import SourceEntry
from edgemm.host.plugin_host import default_host
from edgemm_digit_desk.scoring import read_truth, score_stream
from edgemm_digit_desk.shipped import Shipped

CLIP, CAPTIONS, TRUTH = (str(path) for path in (Shipped().clip, Shipped().captions, Shipped().truth))
SECOND = 1_000_000_000
pytestmark = pytest.mark.media


class Shifted:
    """The clip's own source, with its sound later by some time."""

    live = False

    def __init__(self, source, shift_ns):
        self.inputs = source.inputs
        self._source, self._shift_ns = source, shift_ns

    def packets(self, stopped):
        for packet in self._source.packets(stopped):
            yield edgemm.Packet(packet.input, packet.value, packet.captured_ns + self._shift_ns, packet.sequence)

    def close(self):
        self._source.close()


def answers(bundle, *, shift_s=0.0, sound=True):
    """(time in s, answer, state of the sound) of every result."""
    with edgemm.open(bundle, variant="fp32") as model:
        inputs = {"image": CLIP, "text": CAPTIONS}
        if sound:
            build = default_host().load(SourceEntry, "media_file")
            options = {"video_stream": 0, "audio_stream": 0}
            inputs["audio"] = Shifted(
                build(CLIP, {"audio": model.graph.inputs["audio"]}, options), int(shift_s * SECOND)
            )
        with edgemm.stream(model, inputs, realtime=False) as results:
            return [
                (r.at_ns / SECOND, r.outputs["answer"].label if r.outputs else None, r.inputs["audio"].state)
                for r in results
            ]


def test_the_streamed_answers_are_the_clips_truth(bundle):
    inputs = {"image": CLIP, "audio": CLIP, "text": CAPTIONS}
    with edgemm.stream(bundle, inputs, variant="fp32", realtime=False) as results:
        score = score_stream(results, read_truth(TRUTH))
    assert len(score.intervals) >= 10
    assert score.interval_accuracy >= 0.95
    assert score.result_accuracy >= 0.9


def test_sound_that_comes_a_second_late_changes_answers(bundle):
    there, late = answers(bundle), answers(bundle, shift_s=1.0)
    assert [t for t, _, _ in there] == [t for t, _, _ in late][: len(there)]
    changed = sum(a != b for (_, a, _), (_, b, _) in zip(there, late, strict=False))
    assert changed > len(there) // 20


def test_without_its_sound_the_stream_runs_on_and_says_absent(bundle):
    silent = answers(bundle, sound=False)
    assert len(silent) >= 350, "36 s at ten results a second"
    assert {state for _, _, state in silent} == {"absent"}
    assert all(answer is not None for _, answer, _ in silent[5:])
