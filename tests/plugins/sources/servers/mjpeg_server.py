"""An MJPEG camera over HTTP on loopback, for tests. Listens at the port it is given (0: any), prints it, and stops by itself after two minutes.

/cam sends frames until the reader goes; /short ends after 5 frames; /stall sends 5 and then nothing; /locked asks for the user
`admin` with the password `hunter2`; /page is a web page; anything else is not there.
"""

import base64
import io
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np

LOGIN = "Basic " + base64.b64encode(b"admin:hunter2").decode()


def jpeg() -> bytes:
    """A red picture, 64 x 48."""
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (220, 20, 20), np.uint8), format="rgb24")
    file = io.BytesIO()
    with av.open(file, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


PICTURE = jpeg()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
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
        elif path in ("/cam", "/short", "/stall", "/locked"):
            self.send_frames(5 if path in ("/short", "/stall") else 10**6)
            if path == "/stall":
                time.sleep(60)
        else:
            self.send_error(404)

    def send_frames(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for _ in range(count):
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n")
                self.wfile.write(b"Content-Length: %d\r\n\r\n%s\r\n" % (len(PICTURE), PICTURE))
                self.wfile.flush()
                time.sleep(0.03)
        except OSError:
            pass  # the reader has gone

    def log_message(self, *arguments: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
threading.Timer(120, os._exit, (0,)).start()
print(server.server_port, flush=True)
server.serve_forever()
