"""An RTSP camera with H.264, run as a process by the system's Python, which has GStreamer's bindings: `rtsp_server.py RATE WIDTH HEIGHT PORT`.

Standard input gives the pictures, each a length in four bytes and RGB rows; when it ends, so does the server. It needs no package of ours.

Source: https://gstreamer.freedesktop.org/documentation/gst-rtsp-server
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from typing import Any

PIPELINE = (
    "( appsrc name=pictures is-live=true format=time do-timestamp=true "
    "caps=video/x-raw,format=RGB,width={width},height={height},framerate={rate}/1 ! videoconvert ! "
    "video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={rate} ! "
    "rtph264pay name=pay0 pt=96 config-interval=1 )"
)
newest = [b""]


def read_pictures() -> None:
    """The newest picture of standard input, until it ends."""
    while len(head := sys.stdin.buffer.read(4)) == 4:
        newest[0] = sys.stdin.buffer.read(*struct.unpack(">I", head))
    os._exit(0)


def main() -> None:
    """Serve."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    rate, width, height, port = (int(word) for word in sys.argv[1:])
    newest[0] = bytes(width * height * 3)

    def push(pictures: Any) -> None:
        while pictures.emit("push-buffer", Gst.Buffer.new_wrapped(newest[0])) == Gst.FlowReturn.OK:
            time.sleep(1 / rate)

    def configure(_: Any, media: Any) -> None:
        pictures = media.get_element().get_by_name("pictures")
        threading.Thread(target=push, args=(pictures,), daemon=True).start()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE.format(rate=rate, width=width, height=height))
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    threading.Thread(target=read_pictures, daemon=True).start()
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
