import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from edgemm.errors import SourceError
from edgemm.host.interfaces import Source
from edgemm_plugins.inputs.audio import Audio, Sound
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.sources.media_file import build

pytestmark = pytest.mark.media
IMAGE, AUDIO = Image(96, 96), Audio(8000)
OPTIONS = {"video_stream": 0, "audio_stream": 0}
BOTH = {"image": IMAGE, "audio": AUDIO}


def never() -> bool:
    return False


def read(source: Source) -> tuple[list, SourceError | None]:
    """Its packets, and the error that they ended with."""
    packets = []
    try:
        for packet in source.packets(never):
            packets.append(packet)
    except SourceError as error:
        return packets, error
    return packets, None


def of(name: str, packets: list) -> list:
    return [packet for packet in packets if packet.input == name]


def joined(packets: list) -> np.ndarray:
    return np.concatenate([packet.value.samples for packet in packets])


def test_frames_have_their_exact_times_and_pictures(write_clip: Callable[..., Path]) -> None:
    source = build(str(write_clip()), {"cam": IMAGE}, OPTIONS)
    packets, error = read(source)
    assert error is None
    assert isinstance(source, Source)
    assert not source.live
    assert [packet.captured_ns for packet in packets] == [number * 100_000_000 for number in range(20)]
    assert [packet.sequence for packet in packets] == list(range(20))
    for number, packet in enumerate(packets):
        assert packet.value.shape == (48, 64, 3)
        assert packet.value.dtype == np.uint8
        assert packet.value.flags.c_contiguous
        assert packet.value.flags.writeable
        assert abs(float(packet.value.mean()) - 10 * number) < 4


def test_sound_comes_in_blocks_of_20_ms_at_the_inputs_rate(write_clip: Callable[..., Path]) -> None:
    packets, error = read(build(str(write_clip()), {"audio": AUDIO}, OPTIONS))
    assert error is None
    blocks = packets[:100]
    assert all(isinstance(packet.value, Sound) and packet.value.sample_rate_hz == 8000 for packet in packets)
    assert all(packet.value.samples.shape == (160,) and packet.value.samples.dtype == np.float32 for packet in blocks)
    assert [packet.captured_ns for packet in blocks] == [number * 20_000_000 for number in range(100)]
    samples = joined(blocks)[800:-800]
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * 8000 / samples.size - 440) < 2
    assert 0.45 < np.abs(samples).max() < 0.55  # two equal channels are not louder than one


def test_sound_starts_when_the_file_says(write_clip: Callable[..., Path]) -> None:
    packets, _ = read(build(str(write_clip(tone_from_s=1.0)), BOTH, OPTIONS))
    samples = joined(of("audio", packets))
    onset_s = np.flatnonzero(np.abs(samples) > 0.2)[0] / 8000
    assert abs(onset_s - 1.0) < 0.025  # AAC smears an onset over a frame


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_one_source_delivers_frames_and_sound_in_order_of_time(write_clip: Callable[..., Path], name: str) -> None:
    packets, error = read(build(str(write_clip(name)), BOTH, OPTIONS))
    assert error is None
    times = [packet.captured_ns for packet in packets]
    assert times == sorted(times)
    assert len(of("image", packets)) == 20
    assert len(of("audio", packets)) >= 100
    assert [packet.sequence for packet in of("audio", packets)] == list(range(len(of("audio", packets))))


def test_time_counts_from_the_files_start(write_clip: Callable[..., Path]) -> None:
    packets, error = read(build(str(write_clip("late.mkv", start=50)), BOTH, OPTIONS))
    assert error is None
    assert abs(of("image", packets)[0].captured_ns) <= 25_000_000  # the sound's lead-in may come first
    assert of("image", packets)[-1].captured_ns - of("image", packets)[0].captured_ns == 1_900_000_000


def test_two_inputs_may_take_the_same_stream(write_clip: Callable[..., Path]) -> None:
    packets, _ = read(build(str(write_clip()), {"left": IMAGE, "right": IMAGE}, OPTIONS))
    assert len(of("left", packets)) == len(of("right", packets)) == 20


def test_stereo_wave_at_another_rate(tmp_path: Path) -> None:
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)).astype("<i2")
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(np.stack([tone, np.zeros_like(tone)], axis=1).tobytes())
    packets, error = read(build(str(tmp_path / "tone.wav"), {"audio": AUDIO}, OPTIONS))
    assert error is None
    samples = joined(packets)
    assert abs(samples.size - 8000) <= 1
    expected = 8000 / 32768 / 2 * np.sin(2 * np.pi * 1000 * np.arange(samples.size) / 8000)
    assert np.abs(samples - expected)[200:-200].max() < 0.005  # same time, same loudness: half of one channel


def test_pictures_that_a_decoder_holds_to_the_end_are_pictures_where_sound_is_the_first_stream(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound_first.mkv"), "w") as container:
        audio = container.add_stream("aac", rate=48000, layout="mono")
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
            sound.rate, sound.pts = 48000, 4800 * number
            container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    packets, error = read(build(str(tmp_path / "sound_first.mkv"), BOTH, OPTIONS))
    assert error is None
    brightness = [packet.value.mean() for packet in of("image", packets)]
    assert brightness == pytest.approx(20 * np.arange(10), abs=4)


@pytest.mark.parametrize(("rate_hz", "is_read"), [(99, False), (100, True), (768_000, True), (768_001, False)])
def test_sound_at_a_rate_that_no_recorder_has_is_refused(tmp_path: Path, rate_hz: int, is_read: bool) -> None:
    with wave.open(str(tmp_path / "fast.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(bytes(2 * rate_hz))
    packets, error = read(build(str(tmp_path / "fast.wav"), {"audio": AUDIO}, OPTIONS))
    assert bool(packets) == is_read
    refusal = f"sound at {rate_hz} Hz is not read, only at 100 to 768000 Hz"
    assert (error is None) if is_read else (refusal in str(error))


@pytest.mark.parametrize("channels", [8, 9, 24])
def test_sound_of_many_channels_is_averaged_too(tmp_path: Path, channels: int) -> None:
    with wave.open(str(tmp_path / "many.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.tile(np.arange(channels, dtype="<i2") * 1000, 800).tobytes())
    packets, error = read(build(str(tmp_path / "many.wav"), {"audio": AUDIO}, OPTIONS))
    assert error is None
    assert joined(packets) * 32768 == pytest.approx(np.full(800, 500 * (channels - 1)))


def film(path: Path, codec: str, frames: int = 30, rate_hz: int = 0, start: int = 0, **options: str) -> Path:
    """Frame i is grey 8 * (i % 30), ten a second; with sound of `rate_hz` where there is any."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=10, options=options)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.max_b_frames = 2
        audio = container.add_stream("mp2", rate=rate_hz, layout="mono") if rate_hz else None
        for number in range(frames):
            grey = np.full((48, 64, 3), 8 * (number % 30), np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = number + start
            container.mux(video.encode(frame))
            if audio is not None:
                tone = np.full((1, rate_hz // 10), 8000, np.int16)
                sound = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
                sound.rate, sound.pts = rate_hz, (number + start) * rate_hz // 10
                container.mux(audio.encode(sound))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def times_s(packets: list) -> list[float]:
    return [packet.captured_ns / 1e9 for packet in packets]


def test_pictures_of_an_avi_with_b_frames_come_in_order_and_none_is_lost(tmp_path: Path) -> None:
    packets, error = read(build(str(film(tmp_path / "b.avi", "libx264")), {"image": IMAGE}, OPTIONS))
    assert error is None
    assert times_s(packets) == pytest.approx([0.1 * number for number in range(1, 31)])
    greys = [float(packet.value.mean()) for packet in packets]
    assert greys == pytest.approx([8 * number for number in range(30)], abs=5)


@pytest.mark.parametrize("before_s", [0.0, 1.0, 2.0])
def test_a_transport_stream_whose_time_wraps_around_is_whole(write_clip: Callable[..., Path], before_s: float) -> None:
    wraps = int((2**33 / 90000 - before_s) * 10)
    packets, error = read(build(str(write_clip("wrap.ts", seconds=4, start=wraps)), BOTH, OPTIONS))
    assert error is None
    times = times_s(of("image", packets))
    assert len(times) == 40
    assert np.diff(times) == pytest.approx([0.1] * 39, abs=1e-3)
    assert times[0] < 0.1
    assert 3.9 < joined(of("audio", packets)).size / 8000 < 4.1
    assert np.diff(times_s(of("audio", packets))).min() >= 0


@pytest.mark.parametrize("later", [0, 5, 720_000], ids=["again from 0", "again from 0.5 s", "20 h later"])
def test_time_that_breaks_within_a_transport_stream_goes_on_where_it_was(
    write_clip: Callable[..., Path], later
) -> None:
    first, second = write_clip("one.ts", seconds=3), write_clip("two.ts", seconds=3, start=later)
    first.write_bytes(first.read_bytes() + second.read_bytes())
    packets, error = read(build(str(first), BOTH, OPTIONS))
    assert error is None
    times = times_s(of("image", packets))
    assert len(times) == 60
    assert np.diff(times).min() > 0.05
    assert times[-1] == pytest.approx(5.9, abs=0.2)
    sounds = times_s(of("audio", packets))
    assert np.diff(sounds).min() >= 0
    assert 5.8 < joined(of("audio", packets)).size / 8000 < 6.2
    assert abs(sounds[-1] - times[-1]) < 0.3


def test_a_pause_in_a_film_stays_a_pause(tmp_path: Path) -> None:
    path = tmp_path / "pause.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for pts in (0, 1, 2, 400, 401):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts = pts
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    packets, error = read(build(str(path), {"image": IMAGE}, OPTIONS))
    assert error is None
    assert times_s(packets) == pytest.approx([0, 0.1, 0.2, 40.0, 40.1])


def test_a_sound_rate_that_changes_midway_goes_on(tmp_path: Path) -> None:
    first = film(tmp_path / "one.ts", "mpeg2video", rate_hz=32000)
    first.write_bytes(
        first.read_bytes() + film(tmp_path / "two.ts", "mpeg2video", rate_hz=48000, start=30).read_bytes()
    )
    packets, error = read(build(str(first), BOTH, OPTIONS))
    assert error is None
    assert len(of("image", packets)) == 60
    assert joined(of("audio", packets)).size / 8000 == pytest.approx(6, abs=0.2)
    assert all(packet.value.sample_rate_hz == 8000 for packet in of("audio", packets))


def test_a_stream_that_begins_midway_is_passed_over(tmp_path: Path) -> None:
    first = film(tmp_path / "silent.ts", "mpeg2video")
    first.write_bytes(
        first.read_bytes() + film(tmp_path / "two.ts", "mpeg2video", rate_hz=32000, start=30).read_bytes()
    )
    packets, error = read(build(str(first), {"image": IMAGE}, OPTIONS))
    assert error is None
    assert len(packets) == 60


class Stumbling:
    """A container that raises what PyAV has been seen to raise, after some packets; asked again, it goes on."""

    def __init__(self, container, *errors: Exception) -> None:
        self._container, self._errors, self._packets = container, list(errors), None

    def __getattr__(self, name: str):
        return getattr(self._container, name)

    def demux(self, streams):
        self._packets = self._packets or self._container.demux(streams)
        for number, packet in enumerate(self._packets):
            yield packet
            if number == 5 and self._errors:
                raise self._errors.pop(0)


def test_a_stumble_of_pyav_over_a_new_stream_loses_nothing(write_clip: Callable[..., Path]) -> None:
    source = build(str(write_clip("clip.ts")), BOTH, OPTIONS)
    source._container = Stumbling(source._container, IndexError("list index out of range"), IndexError("again"))
    packets, error = read(source)
    assert error is None
    assert len(of("image", packets)) == 20


@pytest.mark.parametrize("raised", [ValueError("odd"), UnicodeDecodeError("utf-8", b"", 0, 1, "odd")])
def test_an_error_of_pyavs_own_is_a_damaged_file(write_clip: Callable[..., Path], raised: Exception) -> None:
    source = build(str(write_clip("clip.ts")), BOTH, OPTIONS)
    source._container = Stumbling(source._container, raised)
    packets, error = read(source)
    assert packets
    assert "clip.ts' is damaged or truncated" in str(error)


@pytest.mark.parametrize("name", ["clip.ts", "clip.mkv", "clip.mp4", "clip.avi"])
def test_whatever_bytes_a_file_has_it_ends_in_time_or_says_that_it_is_damaged(tmp_path: Path, name: str) -> None:
    whole = film(tmp_path / name, "mpeg2video" if name == "clip.ts" else "mpeg4", rate_hz=32000).read_bytes()
    random = np.random.default_rng(0)
    for _ in range(20):
        damaged = np.frombuffer(whole, np.uint8).copy()
        places = random.integers(0, damaged.size, 20)
        damaged[places] ^= np.uint8(1) << random.integers(0, 8, 20).astype(np.uint8)
        (tmp_path / name).write_bytes(damaged.tobytes())
        try:
            packets, _ = read(build(str(tmp_path / name), BOTH, OPTIONS))
        except SourceError:
            continue  # it cannot be opened, or has lost a stream
        times = times_s(packets)
        assert times == sorted(times)
        assert name != "clip.ts" or not times or times[-1] < 60


def test_a_picture_file_is_one_frame_at_time_0(tmp_path: Path) -> None:
    path = tmp_path / "photo 100%d.png"
    with av.open(str(tmp_path / "photo.png"), "w", format="image2") as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    (tmp_path / "photo.png").rename(path)
    packets, error = read(build(path.as_uri(), {"image": IMAGE}, OPTIONS))
    assert error is None
    assert [packet.captured_ns for packet in packets] == [0]
    np.testing.assert_array_equal(packets[0].value, picture)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_truncated_film_gives_what_it_has_then_says_so(write_clip: Callable[..., Path], name: str) -> None:
    path = write_clip(name, seconds=4, movflags="faststart") if name.endswith("mp4") else write_clip(name, seconds=4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    packets, error = read(build(str(path), BOTH, OPTIONS))
    assert 5 < len(of("image", packets)) < 40
    assert 50 < len(of("audio", packets)) < 200
    assert error is not None
    assert name in str(error)
    assert "truncated" in str(error)
    assert f"up to {max(packet.captured_ns for packet in packets) // 10**9}." in str(error)


def test_a_film_cut_before_its_index_cannot_be_opened(write_clip: Callable[..., Path]) -> None:
    path = write_clip()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"cannot open .*clip\.mp4.*damaged"):
        build(str(path), BOTH, OPTIONS)


def test_a_truncated_wave_gives_what_it_has_then_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.zeros(16000, "<i2").tobytes())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    packets, error = read(build(str(path), {"audio": AUDIO}, OPTIONS))
    assert len(packets) == 50
    assert "missing" in str(error)


def test_a_film_without_sound_asked_for_sound_says_so(write_clip: Callable[..., Path]) -> None:
    path = write_clip(sound=False)
    with pytest.raises(SourceError, match=r"has no audio for input 'audio'; it has image"):
        build(str(path), BOTH, OPTIONS)
    packets, error = read(build(str(path), {"image": IMAGE}, OPTIONS))
    assert error is None
    assert len(packets) == 20


def test_what_is_not_there_or_not_media_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*absent\.mp4"):
        build(str(tmp_path / "absent.mp4"), BOTH, OPTIONS)
    with pytest.raises(SourceError, match="is a folder"):
        build(str(tmp_path), BOTH, OPTIONS)
    (tmp_path / "notes.mp4").write_text("these are notes")
    with pytest.raises(SourceError, match=r"cannot open .*notes\.mp4"):
        build(str(tmp_path / "notes.mp4"), BOTH, OPTIONS)


def test_a_playlist_cannot_open_other_files(write_clip: Callable[..., Path]) -> None:
    clip = write_clip("clip.ts")
    playlist = clip.with_suffix(".m3u8")
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip.name}\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError, match="cannot open"):
        build(str(playlist), BOTH, OPTIONS)


def test_an_input_of_another_modality_is_refused(write_clip: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="input 'command' takes text"):
        build(str(write_clip()), {"command": Text()}, OPTIONS)


def test_a_stream_that_the_file_does_not_have_is_refused(write_clip: Callable[..., Path]) -> None:
    path = str(write_clip())
    with pytest.raises(SourceError, match="1 audio stream"):
        build(path, BOTH, OPTIONS | {"audio_stream": 1})


def test_closing_ends_reading(write_clip: Callable[..., Path]) -> None:
    source = build(str(write_clip()), BOTH, OPTIONS)
    packets = source.packets(never)
    next(iter(packets))
    source.close()
    source.close()
    assert list(packets) == []


@pytest.mark.parametrize("uri", ["//ann:hunter2@camera/cam", "file:///ann:hunter2@camera/cam", "//a:b hunter2@c/cam"])
def test_a_login_by_mistake_is_not_shown(uri: str) -> None:
    with pytest.raises(SourceError, match="there is no file") as caught:
        build(uri, BOTH, OPTIONS)
    assert "hunter2" not in str(caught.value)
