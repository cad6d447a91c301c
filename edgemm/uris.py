"""Where an input comes from: `scheme:rest`, or a path, the options of EdgeMM's own in it, and how to show it without its credentials.

Knows nothing of what a scheme means. Whatever is logged, reported or raised goes through `redact`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from edgemm.errors import UsageError

HIDDEN = "***"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):(.*)", re.DOTALL)
_AUTHORITY = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]+:/{0,2}).*@", re.DOTALL
)  # `rtsp:user:…@` is a slip, and a password too
# Query parameters, and the `user=…&password=…` and `user=…_password=…_` forms that some cameras have in their paths.
_SECRET = re.compile(
    r"(?P<name>(?:user(?:name)?|usr|login|pass(?:word|wd|code)?|pwd|psw|token|access_token|auth\w*|(?:api_?)?key|secret|"
    r"sig(?:nature)?|credential\w*)=)(?P<value>.*?)(?=$|[&;/?#\s]|_\w+=)",
    re.IGNORECASE,
)

_OPTION = r"edgemm\.(?P<name>[^=&#?]*)(?P<equals>=?)(?P<value>[^&#]*)"
_FURTHER_OPTION = re.compile(rf"&{_OPTION}")
_FIRST_OPTION = re.compile(rf"\?{_OPTION}(?P<more>&?)")


@dataclass(frozen=True)
class Location:
    """A parsed URI. Printing it hides what is secret; `text` does not.

    Attributes:
        scheme: lower case; `file` for a path.
        rest: what follows the scheme and its colon; for `file` the path itself.
        text: the whole URI as it was given, credentials included.
    """

    scheme: str
    rest: str = field(repr=False)
    text: str = field(repr=False)

    def __str__(self) -> str:
        return redact(self.text)


def parse(uri: str) -> Location:
    """Split `scheme:rest`; anything without a scheme is a path.

    `file:///a%20b.mp4` and `file:a.mp4` are paths too. A path whose first part has a colon is written `./like:this.mp4`.

    Raises:
        UsageError: for an empty URI.
    """
    if not uri.strip():
        raise UsageError("an input's URI is empty; expected a path such as clip.mp4, or scheme:rest such as camera:0")
    match = _SCHEME.fullmatch(uri)
    if match is None:
        return Location("file", uri, uri)
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        if rest.startswith("//"):
            rest = "/" + rest[2:].partition("/")[2]  # a host has no meaning here
        rest = unquote(rest)
    return Location(scheme, rest, uri)


def split_options(uri: str) -> tuple[str, dict[str, str]]:
    """Take EdgeMM's own options out of a URI or path: what it says of them, and the rest, which is all that a device ever sees.

    They are query parameters whose names begin with `edgemm.`, at any place in the query, so that they cannot be taken for a camera's own:
    `rtsp://camera/1?channel=2&edgemm.transport=udp` is `rtsp://camera/1?channel=2` and `{"transport": "udp"}`. Values are percent-decoded.

    Raises:
        UsageError: an option without a value, or given twice.
    """
    options: dict[str, str] = {}

    def take(match: re.Match[str]) -> str:
        name = match["name"]
        if not (name and match["equals"]):
            raise UsageError(f"'{redact(uri)}': an option is written edgemm.name=value; got 'edgemm.{name}'")
        if name in options:
            raise UsageError(f"'{redact(uri)}': option edgemm.{name} is given twice")
        options[name] = unquote(match["value"])
        return "?" if match.groupdict().get("more") else ""

    return _FIRST_OPTION.sub(take, _FURTHER_OPTION.sub(take, uri)), options


def redact(uri: str) -> str:
    """The URI, or any text with URIs in it, with user names, passwords and tokens replaced by `***`.

    Rather hides too much than too little: everything up to the last `@` goes, because passwords hold `@`, `/` and `?`.
    """
    return " ".join(_redact_word(word) for word in uri.split(" "))


def _redact_word(word: str) -> str:
    word = _AUTHORITY.sub(rf"\g<scheme>{HIDDEN}@", word)
    return _SECRET.sub(lambda match: f"{match['name']}{HIDDEN}", word)
