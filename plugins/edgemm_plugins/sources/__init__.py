"""Sources: files, cameras, the microphone, standard input and text sidecars. Listing them imports no media library."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import Option, SourceEntry
from edgemm.host.marker import hookimpl

_HERE = "edgemm_plugins.sources"
_OF_FILE = (
    Option("video_stream", 0, "which of the file's video streams, counted from 0"),
    Option("audio_stream", 0, "which of its sound streams, counted from 0"),
)

_RECONNECTING = (
    Option("reconnect", True, "take the device up again when it breaks down, as often as it does"),
    Option("wait_at_start", False, "wait for a device that is not there yet, instead of failing"),
)

_OF_CAMERA = (
    Option("transport", "tcp", "of RTSP; some routers let only udp pass", choices=("tcp", "udp")),
    Option("open_timeout_s", 10.0, "how long opening may take"),
    Option("read_timeout_s", 5.0, "how long the camera may send nothing"),
    Option("size", "", "of a local camera's pictures, such as 640x480"),
    Option("rate", "", "of a local camera, in pictures per second"),
    Option("format", "", "of a local camera, such as mjpeg or yuyv422"),
    Option("credentials", "", "env:NAME or file:PATH, which holds user:password, instead of a login in the URI"),
    Option("ca_file", "", "of https and rtsps: the certificates to trust, in PEM, instead of the system's"),
    Option("insecure", False, "of https and rtsps: trust whoever answers; the login may go to anybody"),
    *_RECONNECTING,
)

_OF_MICROPHONE = (
    Option("latency_s", 0.06, "how much the device buffers"),
    Option("read_timeout_s", 3.0, "how long the device (not the room) may be silent"),
    *_RECONNECTING,
)


@hookimpl
def edgemm_sources() -> Iterator[SourceEntry]:
    """The sources that come with EdgeMM; a path's source is found by the input's modality."""
    yield SourceEntry(
        name="media_file",
        factory=f"{_HERE}.media_file:build",
        summary="frames and sound of a video, sound or picture file, by their timestamps",
        requires=("av",),
        extra="media",
        schemes=("file",),
        modalities=("image", "audio"),
        options=_OF_FILE,
    )
    yield SourceEntry(
        name="text_sidecar",
        factory=f"{_HERE}.text_sidecar:build",
        summary="timed text of an .srt or .jsonl file",
        schemes=("file",),
        modalities=("text",),
    )
    yield SourceEntry(
        name="camera",
        factory=f"{_HERE}.camera:build",
        summary="rtsp:// and MJPEG http(s):// cameras, and camera:N, a local one",
        requires=("av",),
        extra="media",
        schemes=("rtsp", "rtsps", "http", "https", "camera"),
        modalities=("image",),
        options=_OF_CAMERA,
    )
    yield SourceEntry(
        name="microphone",
        factory=f"{_HERE}.microphone:build",
        summary="mic: the default microphone, or mic:DEVICE",
        requires=("sounddevice",),
        extra="media",
        schemes=("mic",),
        modalities=("audio",),
        options=_OF_MICROPHONE,
    )
    yield SourceEntry(
        name="standard_input",
        factory=f"{_HERE}.standard_input:build",
        summary="stdin: each line of standard input is a text",
        schemes=("stdin",),
        modalities=("text",),
    )
