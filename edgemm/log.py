"""The loggers of EdgeMM, by the standard `logging`, all under the name `edgemm`: silent unless the program that embeds it sets logging up."""

from __future__ import annotations

import logging

from edgemm.outputs.printable import printable
from edgemm.uris import redact


def logger(room: str) -> logging.Logger:
    """The logger `edgemm.<room>`."""
    top = logging.getLogger("edgemm")
    if not top.handlers:  # else what nobody set up goes to standard error
        top.addHandler(logging.NullHandler())
    return top.getChild(room)


def clean(reason: object) -> str:
    """What plugins and files say, as a log may hold it: on one line, without credentials and control characters."""
    return printable(redact(str(reason)), keep="")
