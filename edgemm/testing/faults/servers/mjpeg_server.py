"""An MJPEG camera over HTTP, run as a process: `mjpeg_server.py RATE PORT`. The path says how it goes wrong; see `MjpegCamera`.

Standard input gives the pictures, each a length in four bytes and a JPEG; when it ends, so does the server. The standard library alone.
"""

from __future__ import annotations

import base64
import os
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

LOGIN = "Basic " + base64.b64encode(b"admin:hunter2").decode()
FOR_EVER = sys.maxsize
FEW = 5
DRIP_S = 0.05


class Camera(BaseHTTPRequestHandler):
    """One reader's connection."""

    picture: ClassVar[bytes] = b""
    period_s: ClassVar[float] = 1 / 30

    def do_GET(self) -> None:
        """Send what the path asks for."""
        path = self.path.partition("?")[0]
        if path == "/locked" and self.headers.get("Authorization") != LOGIN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        elif path == "/page":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html><body>log in</body></html>" * 100)
        elif path in ("/cam", "/locked", "/short", "/stall", "/drip", "/lie"):
            self._send_stream(path)
        else:
            self.send_error(404)

    def _send_stream(self, path: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for number in range(FEW if path in ("/short", "/stall", "/drip") else FOR_EVER):
                lies = path == "/lie" and number % 2
                self._send_frame(b"\xff\xd8 there is no picture" if lies else self.picture)
                time.sleep(self.period_s)
            while path == "/stall":
                time.sleep(DRIP_S)
            while path == "/drip":
                self.wfile.write(b"-")
                time.sleep(DRIP_S)
        except OSError:
            pass  # the reader has gone

    def _send_frame(self, picture: bytes) -> None:
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
        self.wfile.write(head + picture + b"\r\n")

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def read_pictures() -> None:
    """The newest picture of standard input, until it ends."""
    while len(head := sys.stdin.buffer.read(4)) == 4:
        Camera.picture = sys.stdin.buffer.read(*struct.unpack(">I", head))
    os._exit(0)


def main() -> None:
    """Serve."""
    Camera.period_s = 1 / float(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Camera)
    server.daemon_threads = True
    threading.Thread(target=read_pictures, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
