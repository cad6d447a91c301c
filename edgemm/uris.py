"""Where an input comes from: `scheme:rest`, or a path, the options of EdgeMM's own in it, and how to show it without its credentials.

Knows nothing of what a scheme means. Whatever is logged, reported or raised goes through `redact`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import unquote

from edgemm.errors import UsageError

HIDDEN = "***"
_LONGEST = 8192  # what is shown of a text: twice the longest path; it may be a stranger's, and hiding takes time
_LOOK = 512  # how far a URI within a parameter is looked for
_SPACE = "\ue000"  # stands for a space that does not end a word
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):(.*)", re.DOTALL)
_NAMED = r"[A-Za-z][A-Za-z0-9+.\-]{1,30}:"
_AUTHORITY = re.compile(rf"{_NAMED}/{{1,2}}|(?<![^\s'\"(=])//")
_NEXT_URI = re.compile(rf"(?=\s['\"(]?{_NAMED}//)|(?<=\n)")
_SLIP = re.compile(rf"(?P<before>{_NAMED})(?!/)\S*@")  # `rtsp:user:…@` is a slip, and a password too
# `name=value` of a query or, as some cameras have it, of a path: `user=…&password=…`, `user=…_password=…`.
_NAME = re.compile(r"(?P<name>[^\s=&;?/#'\"(]{1,100}?)(?:=|%(?:25)?3D)", re.IGNORECASE)
_SECRET = re.compile(
    r".*(?:pass|pwd|psw|user|usr|login|token|auth|secret|credential|session|sessid|signature|jwt|bearer|cookie|ticket|"
    r"senha|contrasena).*|.*key|.*pw|pas|pin|sid|sig|code|otp|hash|uid|account|psk|creds?|sess|ak|sk|hmac|clave"
)
# A value ends where the next name begins, not at a `;` or a `/`, which passwords have.
_END_IN_QUERY = re.compile(r"&(?=[^\s=&?/#]{1,100}=)|['\"),:;]{0,4}$")
_END_IN_PATH = re.compile(rf"_(?=(?:user|password|channel|stream|subtype)=)|{_END_IN_QUERY.pattern}", re.IGNORECASE)
# Other ways to say it: `?password:x`; JSON, perhaps percent-encoded; a header; who SRT's access control says is asking.
_IN_COLONS = re.compile(r"(?P<before>[?&](?P<name>[^\s=&;?/#'\"(:]{1,100}):)[^\s&'\"]+")
_QUOTE = r"(?:\\?['\"]|%(?:25)?2[27])"
_IN_JSON = re.compile(
    rf"(?P<before>(?:[{{,]|%(?:25)?(?:7B|2C))(?:\s|%20)*{_QUOTE}(?P<name>[^\s'\"%{{}},:]{{1,100}}){_QUOTE}(?:\s|%20)*(?::|%(?:25)?3A)(?:\s|%20)*)"
    rf"(?:{_QUOTE}(?:(?!{_QUOTE})[^\n\\]|\\.)*|\d+)",
    re.IGNORECASE,
)
_IN_HEADER = re.compile(
    r"(?P<before>\b(?:(?:proxy-)?authorization|(?:set-)?cookie)[^\S\n]*:[^\S\n]*)[^\n]+|"
    r"(?P<scheme>\b(?:bearer|basic)\s+)(?=\S*\d)\S{6,}",  # words of a sentence have no digits
    re.IGNORECASE,
)
_OF_SRT = re.compile(r"(?:#|%23)(?:!|%21)(?:::|%3A%3A)\S*", re.IGNORECASE)
_IN_SRT = re.compile(r"(?P<before>(?:[:,]|%3A|%2C)(?P<name>\w{1,30})(?:=|%3D))(?:(?!%2C)[^,&\s'\"])*", re.IGNORECASE)
_SHOWN_OF_SRT = ("h", "m", "r", "t")  # host, mode, resource, type

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
        spaces = re.sub(r"\s", _SPACE, self.text)
        return redact(spaces).replace(_SPACE, " ")


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


def redact(text: str) -> str:
    """Any text with URIs in it, with user names, passwords and tokens replaced by `***`, cut where it is longer than 8192 characters.

    Rather hides too much than too little: everything up to the last `@` goes, because passwords hold `@`, `/`, `?` and spaces. Where all of the text
    is one URI, `str(parse(uri))` hides a token with spaces too, whose end nobody can see in a text.
    """
    text = _IN_JSON.sub(_hidden_value, _IN_HEADER.sub(_hidden_header, _cut(text)))
    words = "".join(_redact_word(word) for word in re.split(r"(\s+)", text))
    return "".join(_redact_authority(part) for part in _NEXT_URI.split(words))


def _cut(text: str) -> str:
    """Of a long text its beginning, up to a whole word; an `@` stands for those in the rest, which may end a login that has begun."""
    if len(text) <= _LONGEST:
        return text
    whole = "".join(re.split(r"(\s+)", text[:_LONGEST])[:-1])
    return f"{whole}{'@' if '@' in text[len(whole) :] else ''}…"


def _hidden_header(match: re.Match[str]) -> str:
    return f"{match['before'] or match['scheme']}{HIDDEN}"


def _hidden_value(match: re.Match[str]) -> str:
    return f"{match['before']}{HIDDEN}" if _is_secret(match["name"]) else match[0]


def _hidden_in_srt(words: re.Match[str]) -> str:
    return _IN_SRT.sub(
        lambda match: match[0] if match["name"].lower() in _SHOWN_OF_SRT else f"{match['before']}{HIDDEN}", words[0]
    )


def _redact_authority(text: str) -> str:
    """`scheme://…@` and `//…@`: from the first up to the last `@`, because a password may have spaces in it."""
    end = text.rfind("@")
    begins = _AUTHORITY.search(text, 0, max(end, 0))
    return f"{text[: begins.end()]}{HIDDEN}{text[end:]}" if begins else text


def _redact_word(word: str) -> str:
    word = _IN_COLONS.sub(_hidden_value, _OF_SRT.sub(_hidden_in_srt, word))
    word = _redact_parameters(word)
    end = word.rfind("@") + 1  # behind it nothing is looked for: that would take time that grows with the square
    word = _SLIP.sub(rf"\g<before>{HIDDEN}@", word[:end]) + word[end:]
    plain = _unquoted(word)
    return plain if "@" in plain and "@" not in word else word  # a URI that was percent-encoded as a whole


def _redact_parameters(word: str) -> str:
    query = word.find("?") % (len(word) + 1)  # where it begins; its end, without one
    shown, position = "", 0
    while (named := _NAME.search(word, position)) is not None:
        start = end = named.end()
        if _is_secret(named["name"]) or _has_login(word[start : start + _LOOK].partition("&")[0]):
            ends = (_END_IN_QUERY if start > query else _END_IN_PATH).search(word, start)
            end = ends.start() if ends else len(word)
        shown, position = f"{shown}{word[position:start]}{HIDDEN if end > start else ''}", end
    return shown + word[position:]


def _has_login(value: str) -> bool:
    """Whether there is a URI with a login in a value, perhaps percent-encoded."""
    if "@" not in value and "40" not in value:  # most have none, and decoding takes time
        return False
    nested = _unquoted(value)
    return _redact_authority(nested) != nested


def _is_secret(name: str) -> bool:
    """Whether a parameter's name says so, or its last part."""
    # without accents, and not full width
    plain = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", _unquoted(name)))
    parts = re.findall(r"[a-z0-9]+", plain.lower())
    return bool(parts) and bool(_SECRET.fullmatch("".join(parts)) or _SECRET.fullmatch(parts[-1]))


def _unquoted(text: str) -> str:
    """Percent-decoded, also where it was encoded twice."""
    return unquote(unquote(text))
