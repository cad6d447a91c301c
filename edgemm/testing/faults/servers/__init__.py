"""Cameras and a microphone on loopback that go wrong when they are told to: they stall, drip, lie, refuse, are killed and come back.

    from edgemm.testing.faults.servers import MjpegCamera

    with MjpegCamera() as camera:
        stream = edgemm.stream(bundle, {"image": camera.url("cam")})
        camera.show(another_picture)
        camera.kill()
        camera.start()

Each is a process of its own that ends with the one that started it, so that killing it is what a real camera's power cut is. `edgemm.testing.faults.fixtures`
has them as pytest fixtures, which skip where something is not installed. They know nothing of sources.
"""

from __future__ import annotations

from edgemm.testing.faults.servers.cameras import LOGIN, MjpegCamera, RtspCamera
from edgemm.testing.faults.servers.virtual_microphone import VirtualMicrophone

__all__ = ["LOGIN", "MjpegCamera", "RtspCamera", "VirtualMicrophone"]
