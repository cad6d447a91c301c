"""Writes a film with sound: RGB frames and mono samples to an mp4 file (H.264, AAC) that any player takes.

The same input gives the same file on the same build of FFmpeg. Knows nothing of questions.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["SOUND_RATE_HZ", "write_film"]

SOUND_RATE_HZ = 16_000  # every player and browser takes it; the speech itself has 8 kHz


def write_film(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    size: tuple[int, int],
    frames_per_s: int,
    sound: NDArray[np.float32],
    quality: int = 26,
    sound_bits_per_s: int = 40_000,
) -> None:
    """Write frames, uint8 (height, width, 3) RGB, and sound, (samples,) in [-1, 1] at `SOUND_RATE_HZ`, to `path`.

    Args:
        path: ends in `.mp4`; written aside, then renamed.
        frames: as many as the film is long.
        size: height and width, even numbers.
        frames_per_s: constant frame rate.
        sound: as long as the film.
        quality: x264's constant rate factor; lower is better and larger.
        sound_bits_per_s: AAC bit rate.
    """
    aside = path.with_name(f"{path.stem}.partial.mp4")
    with av.open(str(aside), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=frames_per_s)
        video.height, video.width = size
        video.pix_fmt = "yuv420p"
        video.options = {
            "crf": str(quality),
            "preset": "slow",
            "tune": "stillimage",
            "threads": "1",
            "g": str(frames_per_s * 5),
        }
        audio = container.add_stream("aac", rate=SOUND_RATE_HZ, layout="mono")
        audio.bit_rate = sound_bits_per_s
        written, block = 0, SOUND_RATE_HZ // frames_per_s
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, frames_per_s)
            container.mux(video.encode(frame))
            written = _write_sound(container, audio, sound, written, min(len(sound), (index + 1) * block))
        _write_sound(container, audio, sound, written, len(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    aside.replace(path)


def _write_sound(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    sound: NDArray[np.float32],
    begin: int,
    end: int,
) -> int:
    """Encode samples `begin` to `end`, interleaved with the frames so that players need not seek; return `end`."""
    if end > begin:
        frame = av.AudioFrame.from_ndarray(sound[None, begin:end].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE_HZ, begin, Fraction(1, SOUND_RATE_HZ)
        container.mux(stream.encode(frame))
    return end
