"""Kernels that TensorRT-RTX compiled for this GPU, kept in the user's cache folder so that the next start does not compile them again.

A cache is a help, never a need: what cannot be read or written is left out, with a line in the log. TensorRT-RTX itself rejects one of
another version, GPU or driver. It knows nothing of engines.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from pathlib import Path

_log = logging.getLogger("edgemm.exporters.tensorrt_engine")


class KernelCache:
    """One engine's file of compiled kernels.

    Args:
        engine: the serialized engine, which names the file.
        version: of the TensorRT module.
        folder: where such files are. Only this user may write there: kernels are native code.
    """

    def __init__(self, engine: bytes, version: str, folder: Path) -> None:
        self.path = folder / f"{version}-{hashlib.sha256(engine).hexdigest()[:32]}.kernels"
        self._kept = b""

    def read(self) -> bytes:
        """What was kept; b"" when there is nothing."""
        try:
            self._kept = self.path.read_bytes()
        except FileNotFoundError:
            self._kept = b""
        except OSError as error:
            _log.warning("cannot read compiled kernels at %s: %s", self.path, error.strerror)
        return self._kept

    def write(self, content: bytes) -> None:
        """Keep `content`, if it is not what is kept: another process sees the old file or the new one, never half of one."""
        if not content or content == self._kept:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, aside = tempfile.mkstemp(prefix=".", dir=self.path.parent)  # readable by this user only
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                os.replace(aside, self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(aside)
                raise
        except OSError as error:
            _log.warning("cannot keep compiled kernels at %s: %s", self.path, error.strerror)
        else:
            self._kept = content


def user_folder() -> Path | None:
    """The user's cache folder for compiled kernels; None for a user without a home."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(root) / "edgemm" / "kernels" if os.path.isabs(root) else None
