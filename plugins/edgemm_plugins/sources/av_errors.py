"""What a failure of PyAV means to a user, without the URL that FFmpeg puts into its messages."""

from __future__ import annotations

import errno

from edgemm.limits import PICTURE_PIXELS


def reason_of_decoding(error: BaseException) -> str:
    """The same, of a packet that a decoder with `frames.LIMITS` would not take."""
    if getattr(error, "errno", None) == errno.EINVAL:
        return f"a picture in it is damaged, or has more than {PICTURE_PIXELS} pixels, which are not decoded"
    return reason_of(error)


def reason_of(error: BaseException) -> str:
    """One line saying what went wrong; never contains the address, hence no credentials."""
    known = {
        "ExitError": "nothing came within the time-out",
        "TimeoutError": "nothing came within the time-out",
        "InvalidDataError": "the data is damaged, or not what its name says",
        "HTTPUnauthorizedError": "the server asks for a user name and password, or refuses the ones given (401)",
        "HTTPForbiddenError": "the server forbids it (403)",
        "HTTPNotFoundError": "the server has nothing there (404)",
        "UnicodeDecodeError": "the data is damaged, or not what its name says",
        "StreamNotFoundError": "it holds no stream that can be read",
    }
    name = type(error).__name__
    if getattr(error, "errno", None) == errno.EIO:
        return "the connection was lost"
    if name in known:
        return known[name]
    text = getattr(error, "strerror", None)
    return f"{text} ({name})" if text else name
