"""Sources: files, cameras, the microphone, standard input and text sidecars. Listing them imports no media library."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import SourceEntry
from edgemm.host.hookspecs import hookimpl

_HERE = "edgemm_plugins.sources"


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
    )
    yield SourceEntry(
        name="microphone",
        factory=f"{_HERE}.microphone:build",
        summary="mic: the default microphone, or mic:DEVICE",
        requires=("sounddevice",),
        extra="media",
        schemes=("mic",),
        modalities=("audio",),
    )
    yield SourceEntry(
        name="standard_input",
        factory=f"{_HERE}.standard_input:build",
        summary="stdin: each line of standard input is a text",
        schemes=("stdin",),
        modalities=("text",),
    )
