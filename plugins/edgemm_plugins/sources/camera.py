"""Live cameras: RTSP, MJPEG over HTTP, and local ones, with little delay.

A reader thread of its own takes packets as they come and keeps the newest frame only, so that a slow stream never works on old
pictures and `close` never waits for a network. A camera that breaks down after it has delivered is connected again, as often as it does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet
from edgemm.inputs.kind import InputKind
from edgemm.log import clean
from edgemm.uris import Location, parse
from edgemm_plugins.sources.asked_inputs import one_input
from edgemm_plugins.sources.av_errors import reason_of, reason_of_decoding
from edgemm_plugins.sources.camera_opening import LoginRefusedError, check_camera, open_camera
from edgemm_plugins.sources.frames import limit_pictures, rgb_from_frame
from edgemm_plugins.sources.reconnecting import LOG, STEADY_S, Backoff
from edgemm_plugins.sources.stream_clock import StreamClock

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

POLL_S = 0.1  # how soon a waiting reader notices that its stream has stopped


def build(uri: str, inputs: Mapping[str, InputKind], options: Mapping[str, Any]) -> Camera:
    """A camera for one image input; it is opened when its packets are asked for.

    Raises:
        SourceError: for an input that is not an image, or a local camera that does not exist.
    """
    name, _ = one_input(uri, inputs, "image")
    location = parse(uri)
    try:
        check_camera(location, options)
    except SourceError as error:
        raise SourceError(f"camera '{location}': {error}") from None
    return Camera(location, name, options)


class Camera:
    """A `Source` that reads one live camera.

    Attributes:
        absent: why it delivers nothing at the moment; "" while it does.
        dropped: frames that a newer one replaced before the stream asked for them.
    """

    live = True

    def __init__(self, location: Location, input: str, options: Mapping[str, Any]) -> None:
        self.inputs: tuple[str, ...] = (input,)
        self.absent = ""
        self.dropped = 0
        self._location = location
        self._options = options
        self._newest = _Newest()
        self._sequence = 0

    def packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        """Frames uint8 RGB `(H, W, 3)`; `sequence` counts the frames that came, skipped ones included.

        Raises:
            SourceError: when the camera cannot be opened; later only with `reconnect` off, or when a recording is over.
        """
        threading.Thread(target=self._read, name=f"edgemm camera {self.inputs[0]}", daemon=True).start()
        try:
            while not stopped():
                taken = self._newest.take(POLL_S)
                if taken is not None:
                    frame, captured_ns, sequence = taken
                    yield Packet(self.inputs[0], rgb_from_frame(frame), captured_ns, sequence)
                elif self._newest.is_closed:
                    break
        finally:
            self._newest.close()
        if self._newest.failure and not stopped():
            raise SourceError(f"camera '{self._location}': {self._newest.failure}")

    def close(self) -> None:
        """End `packets` at once; the reader releases the camera at its next frame or time-out."""
        self._newest.close()

    def __repr__(self) -> str:
        return f"Camera({str(self._location)!r}, input={self.inputs[0]!r})"

    def _read(self) -> None:
        """The reader thread: connects, reads, and connects again until it is closed."""
        backoff = Backoff()
        while True:
            started, before = time.monotonic(), self._sequence
            reason, refused, ended = self._connect_and_read()
            may_return = self._options["reconnect"] if self._sequence else self._options["wait_at_start"]
            if ended or not may_return or self._newest.is_closed:
                self._newest.close(reason)
                return
            self.absent = reason
            LOG.warning("camera '%s' %s; it is tried again", self._location, clean(reason))
            steady = self._sequence > before and time.monotonic() - started > STEADY_S
            if self._newest.wait_closed(backoff.wait_s(steady=steady, refused=refused)):
                return

    def _connect_and_read(self) -> tuple[str, bool, bool]:
        """One connection: why it ended, whether the login was refused, and whether it was a recording that is over."""
        import av

        try:
            container = open_camera(self._location, self._options)
        except SourceError as error:
            return str(error), isinstance(error, LoginRefusedError), False
        except Exception as error:  # nobody else would hear of it
            return f"cannot be opened: {type(error).__name__}", False, False
        try:
            return self._read_frames(container), False, bool(container.duration)
        except (av.FFmpegError, OSError) as error:
            return f"broke down: {reason_of(error)}", False, False
        except Exception as error:  # likewise
            return f"broke down: {type(error).__name__}", False, False
        finally:
            container.close()

    def _read_frames(self, container: InputContainer) -> str:
        """Read until closed; says why it ended otherwise."""
        import av

        if not container.streams.video:
            return "sends no pictures"
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"
        limit_pictures(stream)
        clock = StreamClock()  # a camera that has restarted counts anew
        for packet in container.demux(stream):
            arrival_ns = time.monotonic_ns()
            if self._newest.is_closed:
                return ""
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue  # a lost packet; the picture heals at the next key frame
            except av.FFmpegError as error:
                return f"broke down: {reason_of_decoding(error)}"
            for frame in frames:
                self.absent = ""
                self.dropped += self._newest.put(frame, self._captured_ns(clock, frame, arrival_ns), self._sequence)
                self._sequence += 1
        return "the camera ended the stream"

    def _captured_ns(self, clock: StreamClock, frame: VideoFrame, arrival_ns: int) -> int:
        """Arrival of a frame; where the camera stamps its frames, freed of the network's jitter."""
        if not self._location.scheme.startswith("rtsp") or frame.pts is None or frame.time_base is None:
            return arrival_ns
        return clock.stamp(int(frame.pts * frame.time_base * 1_000_000_000), arrival_ns)


class _Newest:
    """Hands the newest frame from the reader thread to the stream's; an unread one is replaced."""

    def __init__(self) -> None:
        self.is_closed = False
        self.failure = ""
        self._changed = threading.Condition()
        self._frame: tuple[VideoFrame, int, int] | None = None

    def put(self, frame: VideoFrame, captured_ns: int, sequence: int) -> bool:
        """Whether it replaced one."""
        with self._changed:
            replaced = self._frame is not None
            self._frame = (frame, captured_ns, sequence)
            self._changed.notify()
            return replaced

    def take(self, timeout_s: float) -> tuple[VideoFrame, int, int] | None:
        with self._changed:
            if self._frame is None and not self.is_closed:
                self._changed.wait(timeout_s)
            taken, self._frame = self._frame, None
            return taken

    def wait_closed(self, timeout_s: float) -> bool:
        """Wait; whether it was closed meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_closed, timeout_s)

    def close(self, failure: str = "") -> None:
        """No more frames; the first reason stays."""
        with self._changed:
            if not self.is_closed:
                self.failure = failure
            self.is_closed = True
            self._changed.notify_all()
