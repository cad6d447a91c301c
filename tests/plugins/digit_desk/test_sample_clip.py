"""The sample clip through the runtime: answers follow sound and picture, so shifting the sound changes them and losing it is said."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

import edgemm
from edgemm.host.entries import SourceEntry
from edgemm.host.interfaces import Packet
from edgemm.host.plugin_host import default_host

pytest.importorskip("av", reason="needs the media extra: pip install 'edgemm[media]'")

HERE = Path(str(files("edgemm_plugins.digit_desk")))
CLIP = HERE / "clip.mp4"
SECOND = 1_000_000_000
pytestmark = pytest.mark.skipif(not (HERE / "weights.safetensors").exists(), reason="the checkpoint does not ship here")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "desk.edgemm"
    edgemm.export(HERE / "weights.safetensors", path, precision="fp32", calibration=HERE / "calibration.npz")
    return path


class Shifted:
    """The clip's own source, with its sound later by some time."""

    live = False

    def __init__(self, source, shift_ns):
        self.inputs = source.inputs
        self._source, self._shift_ns = source, shift_ns

    def packets(self, stopped):
        for packet in self._source.packets(stopped):
            yield Packet(packet.input, packet.value, packet.captured_ns + self._shift_ns, packet.sequence)

    def close(self):
        self._source.close()


def answers(bundle, *, shift_s=0.0, sound=True):
    """(time in s, answer, state of the sound) of every result."""
    with edgemm.open(bundle) as model:
        inputs = {"image": str(CLIP), "text": str(HERE / "clip.srt")}
        if sound:
            build = default_host().load(SourceEntry, "media_file")
            inputs["audio"] = Shifted(
                build(str(CLIP), {"audio": model.graph.inputs["audio"]}, {"video_stream": 0, "audio_stream": 0}),
                int(shift_s * SECOND),
            )
        with edgemm.stream(model, inputs, realtime=False) as results:
            return [
                (r.at_ns / SECOND, r.outputs["answer"].label if r.outputs else None, r.inputs["audio"].state)
                for r in results
            ]


def test_the_streamed_answers_are_the_clips_truth(bundle):
    from edgemm_plugins.digit_desk.scoring import read_truth, score_stream

    with edgemm.stream(
        bundle, {"image": str(CLIP), "audio": str(CLIP), "text": str(HERE / "clip.srt")}, realtime=False
    ) as results:
        score = score_stream(results, read_truth(HERE / "clip.jsonl"))
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
