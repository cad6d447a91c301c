"""Opening a camera by FFmpeg: what it may read, how little it may delay, and why it could not be opened.

Messages name no camera; who opens one adds its name, without the login.

Source: FFmpeg's rtsp, http and v4l2 options, https://ffmpeg.org/ffmpeg-protocols.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemm.errors import SourceError
from edgemm.uris import Location
from edgemm_plugins.sources.av_errors import reason_of
from edgemm_plugins.sources.frames import opening
from edgemm_plugins.sources.network_address import address_of
from edgemm_plugins.sources.rtsp_redirection import refuse_redirection
from edgemm_plugins.sources.tls import certificate_problem, check_tls, tls_options

if TYPE_CHECKING:
    from av.container import InputContainer

LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "probesize": "100000", "analyzeduration": "100000"}
PROTOCOLS = {  # what a URL of a scheme may open, redirections included; never a file, and nothing less safe than what was asked for
    "rtsp": "rtsp,rtp,rtcp,tcp,udp",
    "rtsps": "tls,tcp",
    "http": "http,tcp",
    "https": "https,tls,tcp",
    "camera": "file",
}
FORMATS = {
    "rtsp": "rtsp,sdp,rtp",
    "rtsps": "rtsp,sdp,rtp",
    "http": "mpjpeg,mjpeg,jpeg_pipe,mpegts,h264,hevc,matroska,webm,flv",
    "https": "mpjpeg,mjpeg,jpeg_pipe,mpegts,h264,hevc,matroska,webm,flv",
    "camera": "video4linux2,v4l2",
}


class LoginRefusedError(SourceError):
    """The camera answers, and does not let us in."""


def check_camera(location: Location, options: Mapping[str, Any]) -> None:
    """Refuse what could never be opened; connects to nothing.

    Raises:
        SourceError: the address, the login's place, an option, or a local camera that is not there.
    """
    check_tls(location, options)
    if location.scheme != "camera":
        address_of(location, options["credentials"])
    elif not options["wait_at_start"]:
        _check_device(location)


def open_camera(location: Location, options: Mapping[str, Any]) -> InputContainer:
    """Connect; a login that lies in a file or the environment is read anew each time.

    Raises:
        SourceError: why it cannot be opened.
    """
    import av

    try:
        return _open_local(location, options) if location.scheme == "camera" else _open_remote(location, options)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = _reason(location, options, error)
        refused = type(error).__name__ in ("HTTPUnauthorizedError", "HTTPForbiddenError")
    raise (LoginRefusedError if refused else SourceError)(f"cannot be opened: {reason}{_advice(location.scheme)}")


def _open_local(location: Location, options: Mapping[str, Any]) -> InputContainer:
    import av

    wanted = {"video_size": options["size"], "framerate": options["rate"], "input_format": options["format"]}
    chosen = _limits(location.scheme) | {name: value for name, value in wanted.items() if value}
    opened: InputContainer = av.open(
        str(_device(location)), format="v4l2", **opening(chosen), timeout=_timeout(options)
    )
    return opened


def _open_remote(location: Location, options: Mapping[str, Any]) -> InputContainer:
    import av

    address = address_of(location, options["credentials"])
    chosen = _limits(location.scheme) | tls_options(location, options)
    if location.scheme.startswith("rtsp"):
        chosen["rtsp_transport"] = options["transport"]
        if address.user is not None:
            refuse_redirection(address, options)
    opened: InputContainer = av.open(
        address.url, **opening(chosen), timeout=_timeout(options), metadata_errors="replace"
    )
    return opened


def _limits(scheme: str) -> dict[str, str]:
    return {"protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": FORMATS[scheme], **LOW_DELAY}


def _timeout(options: Mapping[str, Any]) -> tuple[float, float]:
    return options["open_timeout_s"], options["read_timeout_s"]


def _reason(location: Location, options: Mapping[str, Any], error: Exception) -> str:
    if location.scheme != "camera":
        problem = certificate_problem(address_of(location, options["credentials"]), options)
        if problem:
            return f"{problem}: give edgemm.ca_file, a file of whom to trust, or, where nobody else can answer, edgemm.insecure=true"
        if type(error).__name__ == "ArgumentError" and location.scheme.startswith("http"):
            return "it sends its readers to an address of another kind; write that address, if it is right"
    return reason_of(error)


def _device(location: Location) -> Path:
    rest = location.rest or "0"
    return Path(f"/dev/video{rest}") if rest.isdigit() else Path(rest)


def _check_device(location: Location) -> None:
    device = _device(location)
    if device.exists():
        return
    found = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
    known = (
        f"this machine has camera:{', camera:'.join(found)}" if found else "this machine has no camera (/dev/video*)"
    )
    raise SourceError(f"there is no {device}; {known}")


def _advice(scheme: str) -> str:
    if scheme == "camera":
        return "\n  is another program using it, and may this user read it (group video)?"
    if scheme.startswith("rtsp"):
        return "\n  check address, port and path in the camera's settings; behind some routers: ?edgemm.transport=udp"
    return "\n  expected an MJPEG stream; a playlist or a web page is not read"
