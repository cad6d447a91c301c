"""The README's program runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="needs the media extra: pip install 'edgemm[media]'")

README = Path(__file__).parents[2] / "README.md"


def program(name):
    match = re.search(rf"<!-- test: {name} -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert match, f"README.md has no program '{name}'"
    return match[1]


def make_clip(path):
    """Two seconds of grey frames and a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * index, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone = np.sin(np.arange(32_000) * 0.2).astype(np.float32)[None]
        block = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        block.sample_rate = 16_000
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))


@pytest.mark.export
def test_a_network_of_ones_own_exports_and_streams_in_fifteen_lines(tmp_path, monkeypatch, capsys):
    text = program("wrap")
    ours = [line for line in text.partition("net = Net()")[2].splitlines() if line.strip()]
    assert len(ours) <= 15
    make_clip(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "README.md", "exec"), {"__name__": "readme"})
    lines = capsys.readouterr().out.split("\n")[:-1]
    assert len(lines) >= 20
    assert set(lines) <= {f"{label} {state}" for label in ("no", "yes") for state in ("live", "stale")}
