"""Frames and sound of a recorded file, in order of capture, as fast as they are read.

One source reads the file once for all inputs that take from it. Time is counted from the file's start. It does not pace: the
stream that reads it does. A picture file is one frame at time 0. Playlists are refused: a file must not open other files.

Source: FFmpeg's demuxers by PyAV, https://pyav.basswood-io.com
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet
from edgemm.inputs.kind import InputKind
from edgemm.uris import parse, redact
from edgemm_plugins.inputs.audio import Sound
from edgemm_plugins.sources.asked_inputs import check_inputs, sample_rate_hz
from edgemm_plugins.sources.av_errors import reason_of, reason_of_decoding
from edgemm_plugins.sources.frames import limit_pictures, opening, rgb_from_frame
from edgemm_plugins.sources.sound_blocks import SECOND_NS, SoundBlocks
from edgemm_plugins.sources.timeline import Timeline, TimesInOrder

if TYPE_CHECKING:
    from av.container import InputContainer

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,wav,w64,aiff,au,mp3,aac,ac3,flac,amr,caf,asf,gif,"
    "h264,hevc,mjpeg,ivf,image2,jpeg_pipe,png_pipe,bmp_pipe,webp_pipe,tiff_pipe,ppm_pipe,pgm_pipe,pam_pipe,apng"
)
REORDER_NS = SECOND_NS  # how far one stream is read ahead of another to put their packets in order
PASSED_OVER = 100_000  # packets of streams that nobody asked for, and that PyAV cannot name
SHORT_NS = SECOND_NS // 2  # a file that ends this much before the end it states is truncated


def build(uri: str, inputs: Mapping[str, InputKind], options: Mapping[str, Any]) -> MediaFile:
    """Open a file for its picture inputs, its sound inputs, or both.

    Raises:
        SourceError: when it cannot be opened, or has no stream for one of the inputs.
    """
    return MediaFile(uri, inputs, options)


class MediaFile:
    """A `Source` that reads one file."""

    live = False

    def __init__(self, uri: str, inputs: Mapping[str, InputKind], options: Mapping[str, Any]) -> None:
        check_inputs(uri, inputs, ("image", "audio"))
        self.inputs = tuple(inputs)
        self._name = str(parse(uri))
        self._specs = dict(inputs)
        self._rates_hz = {
            name: sample_rate_hz(uri, name, spec) for name, spec in inputs.items() if spec.modality == "audio"
        }
        self._closed = self._reading = False
        self._path = Path(parse(uri).rest)
        self._container = _open(self._path, self._name)
        try:
            self._streams = self._choose_streams(options)
        except SourceError:
            self._container.close()
            raise
        may_jump = "mpeg" in self._container.format.name
        start_ns = int(self._container.start_time or 0) * 1000
        # Before 0 lies a sound's lead-in, which players skip; in a transport stream, what came before its clock wrapped around.
        self._origin_ns = start_ns if may_jump else max(0, start_ns)
        self._time = Timeline(self._origin_ns, may_jump=may_jump)
        self._damage = ""

    def packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        """Frames uint8 RGB `(H, W, 3)` and `Sound` blocks of 20 ms, until the file's end.

        Raises:
            SourceError: after everything that can be decoded, when the file is damaged or truncated.
        """
        if self._closed:
            return
        self._reading = True
        ordered = _InOrder(self.inputs)
        sequences = dict.fromkeys(self.inputs, 0)
        try:
            for name, time_ns, value in ordered.merge(self._decoded(lambda: stopped() or self._closed)):
                if stopped() or self._closed:
                    return
                yield Packet(name, _value(value), time_ns, sequences[name])
                sequences[name] += 1
            if not self._closed and not stopped():
                self._report_damage()
        finally:
            self._container.close()

    def close(self) -> None:
        """Stop reading; the reading thread releases the file, where there is one."""
        self._closed = True
        if not self._reading:
            self._container.close()

    def __repr__(self) -> str:
        return f"MediaFile({self._name!r}, inputs={list(self.inputs)})"

    def _choose_streams(self, options: Mapping[str, Any]) -> dict[int, list[str]]:
        """Stream index -> the inputs that it feeds."""
        chosen: dict[int, list[str]] = {}
        held: dict[str, list[Any]] = {
            "image": list(self._container.streams.video),
            "audio": list(self._container.streams.audio),
        }
        for name, spec in self._specs.items():
            kind, word = ("image", "video") if spec.modality == "image" else ("audio", "audio")
            index = options[f"{word}_stream"]
            if not held[kind]:
                has = " and ".join(found for found, streams in held.items() if streams) or "nothing that can be read"
                raise SourceError(
                    f"'{self._name}' has no {kind} for input '{name}'; it has {has}. Give that input another source, or none"
                )
            if not 0 <= index < len(held[kind]):
                raise SourceError(f"'{self._name}' has {len(held[kind])} {kind} stream(s); {word}_stream={index}")
            if held[kind][index].codec_context is None:  # PyAV before 18 would bring the process down
                raise SourceError(f"nothing here decodes the {kind} of '{self._name}', for input '{name}'")
            chosen.setdefault(held[kind][index].index, []).append(name)
        for stream in self._container.streams.video:
            stream.thread_type = "SLICE"  # frame threads would read far ahead
            limit_pictures(stream)
        return chosen

    def _decoded(self, stopped: Callable[[], bool]) -> Iterator[tuple[str, int, Any]]:
        """(input, time, frame or sound) in the order of decoding."""
        sounds = {name: SoundBlocks(rate_hz) for name, rate_hz in self._rates_hz.items()}
        pictures = {name: TimesInOrder() for name in self._specs if name not in sounds}
        for index, frame in self._frames(stopped):
            time_ns = self._time_ns(frame, index)
            for name in self._streams[index]:
                taker: SoundBlocks | TimesInOrder = sounds.get(name) or pictures[name]
                yield from ((name, at, value) for at, value in self._taken(taker.push(time_ns, frame)))
        for name in self._specs:
            taker = sounds.get(name) or pictures[name]
            yield from ((name, at, value) for at, value in self._taken(taker.flush()))

    def _taken(self, made: Iterator[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """What frames become; sound of a form that cannot be resampled is damage."""
        import av

        try:
            return list(made)
        except (av.FFmpegError, ValueError, SourceError) as error:
            self._damaged(str(error) if isinstance(error, SourceError) else reason_of(error))
            return []

    def _frames(self, stopped: Callable[[], bool]) -> Iterator[tuple[int, Any]]:
        import av

        for packet in self._demuxed(stopped):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._damaged(reason_of_decoding(error))
                continue
            for frame in frames:
                # `stream_index` of the packets that flush decoders is 0, whosever they are
                yield packet.stream.index, frame

    def _demuxed(self, stopped: Callable[[], bool]) -> Iterator[Any]:
        """The packets of the chosen streams; a stream that begins in the middle of a file is passed over."""
        import av

        streams = [self._container.streams[index] for index in self._streams]
        demuxed, passed_over = self._container.demux(streams), 0
        while not stopped():
            try:
                packet = next(demuxed, None)
            except IndexError as error:  # PyAV stumbles over streams that were not there when it opened the file
                passed_over += 1
                if passed_over > PASSED_OVER:
                    self._damaged(reason_of(error))
                    return
                demuxed = self._container.demux(streams)
                continue
            except (av.FFmpegError, ValueError) as error:
                self._damaged(reason_of(error))
                return
            if packet is None:
                return
            yield packet

    def _time_ns(self, frame: Any, index: int) -> int:
        """Media time from the file's start."""
        known = frame.pts is not None and frame.time_base
        time_ns = int(Fraction(frame.pts) * frame.time_base * SECOND_NS) if known else None
        return self._time.place(index, time_ns, self._length_ns(frame, index))

    def _length_ns(self, frame: Any, index: int) -> int:
        if hasattr(frame, "sample_rate"):
            return int(frame.samples * SECOND_NS // frame.sample_rate)
        if getattr(frame, "duration", None):
            return int(frame.duration * frame.time_base * SECOND_NS)
        rate = self._container.streams[index].average_rate
        return int(SECOND_NS / rate) if rate else 0

    def _position_s(self) -> float:
        return max(self._time.ends_ns.values(), default=0) / SECOND_NS

    def _damaged(self, reason: str) -> None:
        self._damage = self._damage or f"{reason}, at {self._position_s():.3f} s"

    def _report_damage(self) -> None:
        damage = self._damage or self._early_end()
        if damage:
            raise SourceError(
                f"'{self._name}' is damaged or truncated: {damage}; "
                f"delivered what could be decoded, up to {self._position_s():.3f} s"
            )

    def _early_end(self) -> str:
        """Says so when the file ends well before its header says; only for formats whose header is exact."""
        kind = self._container.format.name
        if kind == "wav":
            return _cut_riff(self._path)
        ends_ns = {index: self._stated_end_ns(index) for index in self._streams}
        if kind.startswith("matroska") and len(self._streams) == len(self._container.streams):
            reached = self._time.ends_ns
            last = max(reached, key=lambda index: reached[index], default=next(iter(ends_ns)))
            ends_ns = {last: int(self._container.duration or 0) * 1000}
        elif not kind.startswith("mov"):
            return ""
        for index, stated_ns in ends_ns.items():
            if stated_ns - self._origin_ns - self._time.ends_ns.get(index, 0) > SHORT_NS:
                return f"it ends before the {stated_ns / SECOND_NS:.3f} s that its header states"
        return ""

    def _stated_end_ns(self, index: int) -> int:
        stream = self._container.streams[index]
        if stream.duration is None or stream.time_base is None:
            return 0
        return int(((stream.start_time or 0) + stream.duration) * stream.time_base * SECOND_NS)


def _cut_riff(path: Path) -> str:
    with path.open("rb") as file:
        header = file.read(8)
    stated = int.from_bytes(header[4:8], "little") + 8
    is_unknown = stated < 44 or stated > 0xFFFFFF00  # written to a pipe
    missing = 0 if is_unknown else stated - path.stat().st_size
    return f"{missing} bytes that its header states are missing" if missing > 1 else ""


class _InOrder:
    """Merges streams that are decoded in turn into one order of time, reading at most `REORDER_NS` ahead."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._waiting: dict[str, deque[tuple[int, Any]]] = {name: deque() for name in names}
        self._given_ns = 0

    def merge(self, decoded: Iterator[tuple[str, int, Any]]) -> Iterator[tuple[str, int, Any]]:
        """Yield (input, time, value) by time."""
        newest_ns = 0
        for name, time_ns, value in decoded:
            self._waiting[name].append((time_ns, value))
            newest_ns = max(newest_ns, time_ns)
            while all(self._waiting.values()) or self._is_far_ahead(newest_ns):
                yield self._take()
        while any(self._waiting.values()):
            yield self._take()

    def _is_far_ahead(self, newest_ns: int) -> bool:
        return any(self._waiting.values()) and newest_ns - self._oldest_ns() > REORDER_NS

    def _oldest_ns(self) -> int:
        return min(waiting[0][0] for waiting in self._waiting.values() if waiting)

    def _take(self) -> tuple[str, int, Any]:
        oldest_ns = self._oldest_ns()
        name = next(name for name, waiting in self._waiting.items() if waiting and waiting[0][0] == oldest_ns)
        self._given_ns = max(self._given_ns, oldest_ns)  # what a file holds too late counts as of now
        return name, self._given_ns, self._waiting[name].popleft()[1]


def _open(path: Path, name: str) -> InputContainer:
    import av

    if path.is_dir():
        raise SourceError(f"'{name}' is a folder; expected a video, sound or picture file")
    if not path.exists():
        raise SourceError(f"there is no file '{name}' (looked in {redact(str(path.absolute().parent))})")
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "pattern_type": "none"}
    try:  # absolute, so that no name is taken for a protocol
        container: InputContainer = av.open(str(path.absolute()), **opening(options), metadata_errors="replace")
        return container
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = reason_of(error)
    raise SourceError(
        f"cannot open '{name}': {reason}\n  expected a video, sound or picture file such as mp4, mkv, wav, mp3, flac, jpg or png"
    )


def _value(value: Any) -> Any:
    return value if isinstance(value, Sound) else rgb_from_frame(value)
