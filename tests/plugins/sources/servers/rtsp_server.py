"""An RTSP camera with H.264 on loopback, for tests; the system's Python runs it, which has GStreamer's bindings.

Listens at the port it is given (0: any), prints it, and stops by itself after two minutes. /cam is red, 160 x 120, 20 frames a second.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=red ! video/x-raw,width=160,height=120,framerate=20/1 ! videoconvert ! "
    "video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=20 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1 )"
)

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(PIPELINE)
factory.set_shared(True)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
loop = GLib.MainLoop()
GLib.timeout_add_seconds(120, loop.quit)
print(server.get_bound_port(), flush=True)
loop.run()
