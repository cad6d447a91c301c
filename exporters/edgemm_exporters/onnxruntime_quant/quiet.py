"""Keeps ONNX Runtime's tools from talking to the user: they log to the root logger, and configure it when nobody has."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

_log = logging.getLogger("edgemm.exporters.onnxruntime_quant")


class _Divert(logging.Filter):
    """Moves this thread's records from the root logger to ours, at DEBUG."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        _log.debug("onnxruntime: %s", record.getMessage())
        return False


@contextlib.contextmanager
def quiet_tools() -> Iterator[None]:
    """While active, what this thread logs to the root logger goes to EdgeMM's debug log; Python warnings are dropped."""
    root = logging.getLogger()
    divert = _Divert()
    placeholder = logging.NullHandler()  # logging.warning() installs a stderr handler when the root has none
    root.addHandler(placeholder)
    root.addFilter(divert)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(divert)
        root.removeHandler(placeholder)
