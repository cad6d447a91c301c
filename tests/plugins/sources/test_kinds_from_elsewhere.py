"""Sources of sound feed any kind of modality `audio` that says at which rate it takes it, not ours alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from edgemm.errors import SourceError
from edgemm.inputs.kind import InputKind
from edgemm_plugins.inputs.audio import Sound
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.sources import media_file, microphone


@dataclass(frozen=True)
class Speech(InputKind):
    """A kind of another distribution."""

    kind: ClassVar[str] = "speech"
    sample_rate_hz: int

    @property
    def modality(self) -> str:
        return "audio"


STREAMS = {"video_stream": 0, "audio_stream": 0}
WITHOUT_RATE = r"delivers sound, but input 'voice' .* its kind 'tensor' has no sample_rate_hz"


@pytest.mark.media
def test_a_file_feeds_the_sound_of_a_kind_from_elsewhere(write_clip: Callable[..., Path]) -> None:
    source = media_file.build(str(write_clip()), {"cam": Image(8, 8), "voice": Speech(4000)}, STREAMS)
    values = {packet.input: packet.value for packet in source.packets(lambda: False)}
    assert isinstance(values["voice"], Sound)
    assert values["voice"].sample_rate_hz == 4000
    assert values["cam"].shape == (48, 64, 3)


@pytest.mark.media
def test_a_file_refuses_an_input_of_sound_without_a_rate(write_clip: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=WITHOUT_RATE):
        media_file.build(str(write_clip()), {"voice": Tensor((4,), modality="audio")}, STREAMS)


def test_a_microphone_feeds_a_kind_from_elsewhere_at_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    device = SimpleNamespace(
        query_devices=lambda *_: {"default_samplerate": 48000.0},
        check_input_settings=lambda *_, samplerate, **__: asked.append(samplerate),
        PortAudioError=OSError,
    )
    monkeypatch.setattr(microphone, "load_sounddevice", lambda: device)
    assert microphone.build("mic:", {"voice": Speech(4000)}, {"wait_at_start": False}).inputs == ("voice",)
    assert asked == [4000]


def test_a_microphone_refuses_an_input_without_a_rate() -> None:
    with pytest.raises(SourceError, match=WITHOUT_RATE):
        microphone.build("mic:", {"voice": Tensor((4,), modality="audio")}, {"wait_at_start": False})
