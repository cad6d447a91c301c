"""Where a network camera is, and who logs in: from the URI, from an environment variable, or from a file.

Everything that FFmpeg or a socket is given comes from here, so that no two of them read one URI in two ways. Knows nothing of protocols.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from edgemm.errors import SourceError
from edgemm.uris import Location

PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}
_URL = re.compile(r"//(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:\[\]@\s]+)(?::(?P<port>\d{1,5}))?")
LIMIT_BYTES = 4096  # of a file with a login


@dataclass(frozen=True)
class NetworkAddress:
    """A camera's address. Printing it shows neither user nor password.

    Attributes:
        scheme: lower case.
        host: as it was written; an IPv6 address without its brackets.
        port: as it was written, or the scheme's own.
        place: the rest of the URL, host and port included, without the login.
        user, password: not percent-encoded; None where there is none.
    """

    scheme: str
    host: str
    port: int
    place: str = field(repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL with the login in it, percent-encoded, so that any character may be part of a password."""
        if self.user is None:
            return self.url_without_login
        login = quote(self.user, safe="")
        if self.password is not None:
            login += f":{quote(self.password, safe='')}"
        return f"{self.scheme}://{login}@{self.place}"

    @property
    def url_without_login(self) -> str:
        """The URL as a stranger may see it, but for what its query says."""
        return f"{self.scheme}://{self.place}"


def address_of(location: Location, credentials: str = "") -> NetworkAddress:
    """Read a camera's URI, and its login from where `credentials` says.

    Args:
        location: `scheme://[user[:password]@]host[:port][/…]`.
        credentials: `env:NAME` or `file:PATH`, each holding `user:password`; "" where the URI says all.

    Raises:
        SourceError: it is no such address, or the login cannot be read; the message shows no part of it.
    """
    match = _URL.fullmatch(location.rest)
    login, separator, place = match["authority"].rpartition("@") if match else ("", "", "")
    found = _HOST.fullmatch(place)
    if match is None or found is None or int(found["port"] or 1) not in range(1, 65536):
        raise SourceError(
            f"expected {location.scheme}://host:port/path; in a user name or password, '/', '?' and '#' are written "
            "%2F, %3F and %23, or the login is given as edgemm.credentials=env:NAME or file:PATH"
        )
    host, port = found["host"].strip("[]"), int(found["port"] or PORTS[location.scheme])
    place += match["rest"]
    if separator and credentials:
        raise SourceError("its login is given in the URI and as edgemm.credentials; leave one out")
    if credentials:
        return NetworkAddress(location.scheme, host, port, place, *_login(location, credentials))
    if not separator:
        return NetworkAddress(location.scheme, host, port, place)
    user, colon, password = login.partition(":")
    return NetworkAddress(location.scheme, host, port, place, unquote(user), unquote(password) if colon else None)


def _login(location: Location, credentials: str) -> tuple[str, str]:
    """User and password from an environment variable or a file."""
    kind, _, name = credentials.partition(":")
    if kind == "env" and name:
        held, where = os.environ.get(name, ""), f"the environment variable {name}"
    elif kind == "file" and name:
        held, where = _file(location, Path(name)), f"the file {name}"
    else:
        raise SourceError("edgemm.credentials is env:NAME or file:PATH, not the login itself")
    user, colon, password = held.rstrip("\r\n").partition(":")
    if not colon or "\n" in password:
        raise SourceError(f"expected user:password in {where}, and nothing else")
    return user, password


def _file(location: Location, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LIMIT_BYTES).decode("utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    raise SourceError(f"cannot read its login from the file {path}: {reason}")
