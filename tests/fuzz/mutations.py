"""Changes that somebody could make to a file: of its bytes, or of what a format is made of (JSON, lines, zip, protobuf, safetensors).

A grammar takes content and a random generator, and gives the content with one change. What cannot be parsed is changed as bytes. It knows nothing of
who reads the files.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

Grammar = Callable[[bytes, Random], bytes]

NUMBERS = (
    0,
    1,
    2,
    -1,
    0.5,
    7,
    255,
    65536,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    10**19,
    1e308,
    -1e308,
    5e-324,
)
TEXTS = (
    "",
    " ",
    "x",
    "x" * 300,
    "\0",
    "..",
    "../x",
    "/etc/passwd",
    "a:b",
    "a\\b",
    "input.a",
    "\u202e\x9b",
    "\x1b[2J",
    "é中",
    "%2e",
    "[8]",
    "nan",
)
VALUES = (None, True, False, *NUMBERS, *TEXTS, [], {}, [[]], [0], [""], [None], {"": 0}, {"kind": "image"}, [1, 2, 3])
TOKENS = (b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"\xff", b"\xef\xbb\xbf", b"\0", b"\n", b"\r", b"\x1b]0;", b"\xed\xa0\x80",
          b"1979-05-27", b"0x10", b"inf", b"true", b"[[a]]\n", b"a.b.c = 1\n", b"'''", b'"""', b"\\u0000", b"%00", b"@", b"://", b"edgemm.", b"=", b"&", b"#")  # fmt: skip
LONGEST = 1 << 16  # of a case, in bytes: small ones are fast, and what a file may hold is not found by its length


def mutated(content: bytes, grammar: Grammar, random: Random) -> bytes:
    """One to eight changes, mostly one."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        changed = grammar(content, random)
        content = changed if changed != content else of_bytes(content, random)
    return content[:LONGEST]


def of_bytes(content: bytes, random: Random) -> bytes:
    """Bits, bytes, numbers, spans: turned, set, taken away, repeated, moved."""
    data = bytearray(content)
    at = random.randrange(len(data) + 1)
    size = min(len(data) - at, random.choice((1, 1, 2, 4, 16, 256, 4096)))
    kind = random.randrange(8)
    if kind == 0 and size:
        data[at] ^= 1 << random.randrange(8)
    elif kind == 1 and size:
        data[at : at + size] = random.randbytes(size)
    elif kind == 2:
        number = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, random.getrandbits(32)))
        data[at : at + 4] = struct.pack(random.choice("<>") + "I", number)
    elif kind == 3:
        del data[at : at + size]
    elif kind == 4:
        data[at:at] = data[at : at + size] * random.choice((1, 1, 2, 50))
    elif kind == 5:
        data[at:at] = random.choice(TOKENS)
    elif kind == 6 and random.random() < 0.3:
        del data[at:]
    else:
        other = random.randrange(len(data) + 1)
        data[other : other + size] = data[at : at + size]
    return bytes(data)


def of_lines(content: bytes, random: Random) -> bytes:
    """Lines, and what stands behind a `=` or between quotes."""
    lines = content.split(b"\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(7)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(other, lines[at])
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif kind in (3, 4):
        value = random.choice((json.dumps(random.choice(VALUES)).encode(), random.choice(TOKENS)))
        lines[at] = re.sub(rb"(?<=[=:>,] )[^,]*", lambda _: value, lines[at], count=random.choice((0, 1)))
    elif kind == 5:
        lines[at] = re.sub(rb"[\w.+-]+", lambda _: random.choice(TOKENS), lines[at], count=random.choice((1, 2)))
    else:
        return of_bytes(content, random)
    return b"\n".join(lines)


def of_json(content: bytes, random: Random) -> bytes:
    """A value anywhere in it: another one, one from elsewhere, gone, or under another key."""
    try:
        root = [json.loads(content)]
    except (ValueError, RecursionError):
        return of_bytes(content, random)
    if random.random() < 0.1:
        return of_bytes(content, random)
    places = _places(root)
    holder, key = random.choice(places)
    kind = random.randrange(6)
    if kind == 0 and holder is not root:
        del holder[key]
    elif kind == 1:
        donor, name = random.choice(places)
        holder[key] = json.loads(json.dumps(donor[name]))
    elif kind == 2 and isinstance(holder, dict):
        holder[random.choice((*TEXTS, key + "x", *holder))] = holder.pop(key)
    elif kind == 3 and isinstance(holder[key], str):
        holder[key] = of_bytes(holder[key].encode("utf-8", "replace"), random).decode("utf-8", "replace")
    elif kind == 4 and type(holder[key]) is int:
        holder[key] += random.choice((-1, 1))
    else:
        holder[key] = random.choice(VALUES)
    return json.dumps(root[0], ensure_ascii=random.random() < 0.5).encode("utf-8", "replace")


def _places(root: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a parsed JSON."""
    places, waiting = [], [root]
    while waiting:
        holder = waiting.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            places.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                waiting.append(holder[key])
    return places


def of_zip(content: bytes, random: Random) -> bytes:
    """Members: another content, name or packing. A bundle is sealed again, as whoever changes one would."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member.filename: archive.read(member)[: 4 * LONGEST] for member in archive.infolist()[:64]}
    except Exception:  # whatever a damaged zip makes of it
        return of_bytes(content, random)
    if not members or random.random() < 0.15:
        return of_bytes(content, random)
    name = random.choice(list(members))
    kind = random.randrange(8)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[random.choice((*TEXTS, *members))] = members[name]
    else:
        members[name] = grammar_of(name)(members[name], random)
    if random.random() < 0.9:
        _seal(members)
    packed = io.BytesIO()
    method = random.choice((*[zipfile.ZIP_STORED] * 12, *[zipfile.ZIP_DEFLATED] * 7, zipfile.ZIP_BZIP2))
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", method) as archive:
        warnings.simplefilter("ignore")
        for member, held in members.items():
            archive.writestr(zipfile.ZipInfo(member.encode("utf-8", "replace").decode() or "x"), held, method)
    return packed.getvalue()


def _seal(members: dict[str, bytes]) -> None:
    """Sizes and hashes in a manifest, and its digest, as the members are."""
    try:
        manifest = json.loads(members["manifest.json"])
        for name, record in manifest["files"].items():
            if name in members:
                record.update(bytes=len(members[name]), sha256=hashlib.sha256(members[name]).hexdigest())
        members["manifest.json"] = json.dumps(manifest).encode("utf-8", "replace")
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        pass
    if "manifest.json" in members:
        members["manifest.sha256"] = hashlib.sha256(members["manifest.json"]).hexdigest().encode()


def of_npy(content: bytes, random: Random) -> bytes:
    """The header of an array: dtype and shape."""
    if random.random() < 0.4:
        return of_bytes(content, random)
    words = (b"'O'", b"'<f8'", b"'<U1'", b"'<U2000000000'", b"'|S4'", b"'<M8[s]'", b"'<f2'", b"'>i4'", b"()", b"(0,)", b"(0, 9)", b"(-1,)", b"(1000000000000,)",
             b"(2, 2, 2)", b"(True,)", b"None", b"[('a', '<f4')]", b"True", b"((" * 300, b"9" * 5000, b"1" + b"_1" * 20)  # fmt: skip
    found = list(re.finditer(rb"'<?[|\w]+'|\([^()]*\)|True|False", content[:128]))
    if not found:
        return of_bytes(content, random)
    match, word = random.choice(found), random.choice(words)
    header, rest = content[: match.start()] + word + content[match.end() : 128], content[128:]
    header = header.replace(b" \n", b"\n", 1) if len(header) > 128 else header
    return header[:8] + struct.pack("<H", max(0, len(header) - 10)) + header[10:] + rest


def of_safetensors(content: bytes, random: Random) -> bytes:
    """The header, and in it the specification as text."""
    try:
        size = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + size])
    except (ValueError, struct.error, RecursionError):
        return of_bytes(content, random)
    chance = random.random()
    if chance < 0.1 or not isinstance(header, dict):
        return of_bytes(content, random)
    about = header.get("__metadata__")
    if chance < 0.6 and isinstance(about, dict) and about:
        key = random.choice(list(about))
        changed = (of_json if key == "about" else of_lines)(str(about[key]).encode("utf-8", "replace"), random)
        about[key] = changed.decode("utf-8", "replace")
        packed = json.dumps(header).encode()
    else:
        packed = of_json(json.dumps(header).encode(), random)
    return struct.pack("<Q", len(packed)) + packed + content[8 + size :]


def of_onnx(content: bytes, random: Random) -> bytes:
    """A field anywhere in the message: another value, gone, or there twice."""
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        return of_bytes(content, random)
    message: Any = model
    while random.random() < 0.9:
        inner = [value for field, value in message.ListFields() if field.message_type]
        several = [
            each
            for value in inner
            for each in (value if hasattr(value, "append") or hasattr(value, "add") else [value])
        ]
        if not several:
            break
        message = random.choice(several)
    fields = message.ListFields()
    if not fields or random.random() < 0.1:
        return of_bytes(content, random)
    try:
        _change_field(message, *random.choice(fields), random)
        changed: bytes = model.SerializeToString()
    except (ValueError, TypeError):  # no value of that field, or a text that is none
        return of_bytes(content, random)
    return changed


def _change_field(message: Any, field: Any, value: Any, random: Random) -> None:
    several, kind = hasattr(value, "__delitem__"), random.randrange(4)
    if kind == 0:
        message.ClearField(field.name)
    elif several and kind == 1:
        del value[random.randrange(len(value))]
    elif several and kind == 2:
        value.MergeFrom([value[random.randrange(len(value))]])
    elif not field.message_type:
        samples = {
            str: TEXTS,
            bytes: TOKENS,
            float: (0.0, 1e30, float("nan")),
            int: (0, 1, 2, 3, 7, 8, 11, 16, -1, 2**31 - 1, 2**31, 2**63 - 1),
        }
        new = random.choice(samples.get(type(value[0] if several else value), (0,)))
        if several:
            value[random.randrange(len(value))] = new
        else:
            setattr(message, field.name, new)


def grammar_of(name: str) -> Grammar:
    """How a file of that name is changed."""
    grammars: dict[str, Grammar] = {
        "json": of_json, "jsonl": of_lines, "npz": of_zip, "zip": of_zip, "npy": of_npy, "onnx": of_onnx, "safetensors": of_safetensors,
        "toml": of_lines, "srt": of_lines, "pem": of_lines, "sig": of_lines, "sha256": of_lines, "uri": of_lines,
    }  # fmt: skip
    return grammars.get(name.rpartition(".")[2], of_bytes)
