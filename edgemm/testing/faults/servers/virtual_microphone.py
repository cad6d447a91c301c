"""A microphone that hears what a test plays, by PulseAudio: it stands for a sound server that goes and comes back.

Source: https://www.freedesktop.org/wiki/Software/PulseAudio/Documentation/User/Modules (module-pipe-source)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from edgemm.errors import MissingDependencyError, SourceError
from edgemm.testing.faults.servers.child import START_S, Closing, stop

RATE_HZ = 16000
_OPTIONS = ("--daemonize=no", "--exit-idle-time=-1", "--realtime=no", "--high-priority=no", "--use-pid-file=no")
_PLAYER = """
import sys, time
data, file, start = sys.stdin.buffer.read(), open(sys.argv[1], "wb", 0), time.monotonic()
block, number, again = 640, 0, sys.argv[2] == "again"
while again or number * block < len(data):
    time.sleep(max(0, start + number * 0.02 - time.monotonic()))
    position = number * block % len(data)
    file.write(data[position : position + block])
    number += 1
"""


class VirtualMicrophone(Closing):
    """A PulseAudio server in a folder of its own, with one microphone at 16 kHz; it starts when it is made.

    Args:
        folder: empty; everything of the server lies there.

    Attributes:
        environment: variables with which a process finds this server, and no other; to be set before sounddevice is asked.

    Raises:
        MissingDependencyError: PulseAudio is not installed.
        SourceError: it does not start.
    """

    def __init__(self, folder: Path) -> None:
        for program in ("pulseaudio", "pactl"):
            if shutil.which(program) is None:
                raise MissingDependencyError(
                    f"no {program}: apt install pulseaudio pulseaudio-utils libasound2-plugins"
                )
        self.environment = {
            "XDG_RUNTIME_DIR": str(folder),
            "HOME": str(folder),
            "PULSE_SERVER": f"unix:{folder}/native",
        }
        self._socket, self._fifo, self._script = folder / "native", folder / "mic.fifo", folder / "mic.pa"
        self._script.write_text(
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={self._socket}\n"
            f"load-module module-pipe-source source_name=mic file={self._fifo} format=s16le rate={RATE_HZ} channels=1\n"
            "set-default-source mic\n"
        )
        self._server: subprocess.Popen[bytes] | None = None
        self._player: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server, again if it was killed; nothing is played.

        Raises:
            SourceError: it does not start.
        """
        self.close()
        for left in (self._fifo, self._socket):  # by a server that was killed
            left.unlink(missing_ok=True)
        environment = {**os.environ, **self.environment}
        self._server = subprocess.Popen(
            ["pulseaudio", "-n", "-F", str(self._script), *_OPTIONS],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        deadline_s = time.monotonic() + START_S
        while subprocess.run(["pactl", "info"], capture_output=True, check=False, env=environment).returncode:
            if time.monotonic() > deadline_s or self._server.poll() is not None:
                self.close()
                raise SourceError(f"pulseaudio did not start within {START_S:g} s")
            time.sleep(0.05)

    def play(self, samples: np.ndarray, *, again: bool = True) -> None:
        """Play int16 samples, as fast as they sound, instead of what is played; over and over, or once.

        Args:
            samples: `(n,)`, mono at 16 kHz.
            again: begin again at their end.
        """
        self._silence()
        self._player = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PLAYER, str(self._fifo), "again" if again else "once"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if self._player.stdin is not None:
            self._player.stdin.write(samples.astype("<i2").tobytes())
            self._player.stdin.close()

    def kill(self) -> None:
        """End the server as a crash does; what was played ends too."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(START_S)
        self._silence()

    def close(self) -> None:
        """End the server, whatever it does."""
        self.kill()
        self._server = None

    def _silence(self) -> None:
        if self._player is not None:
            with suppress(OSError):
                stop(self._player)
            self._player = None
