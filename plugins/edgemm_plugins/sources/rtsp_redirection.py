"""Whether an RTSP camera sends its readers elsewhere, asked before FFmpeg gets the login: FFmpeg would take it along to any host.

Asks for the description as FFmpeg will, without the login first. The camera itself learns the login, as it must; nobody else does.

Source: RFC 2326 (RTSP), RFC 7617 and RFC 7616 (Basic and Digest)
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin
from urllib.request import parse_http_list, parse_keqv_list

from edgemm.errors import SourceError
from edgemm.uris import parse, redact
from edgemm_plugins.sources.network_address import NetworkAddress, address_of
from edgemm_plugins.sources.tls import context

HOPS = 5
LIMIT_BYTES = 65536  # of an answer's head
_STATUS = re.compile(r"RTSP/\d\.\d (\d{3})")


def refuse_redirection(address: NetworkAddress, options: Mapping[str, Any]) -> None:
    """Raise where following the camera would hand its login to another host.

    Raises:
        SourceError: it sends us to another host, in circles, or answers with no RTSP; the message shows no login.
        OSError: it cannot be reached, or says nothing for `open_timeout_s`.
    """
    for _ in range(HOPS):
        status, headers = _described(address, options)
        if status not in range(300, 400) or not headers.get("location"):
            return
        target = urljoin(address.url_without_login, headers["location"][0])
        there = address_of(parse(target)) if target.lower().startswith(("rtsp://", "rtsps://")) else None
        if there is None or there.host.lower().rstrip(".") != address.host.lower().rstrip("."):
            raise SourceError(
                f"it sends its readers to {redact(target)}, which is not given the login; if that is right, use that address"
            )
        if address.scheme == "rtsps" and there.scheme != "rtsps":
            raise SourceError(f"it sends its readers to {redact(target)}, where nothing is encrypted")
        address = replace(there, user=address.user, password=address.password)
    raise SourceError(f"it sends its readers on more than {HOPS} times")


def _described(address: NetworkAddress, options: Mapping[str, Any]) -> tuple[int, dict[str, list[str]]]:
    """Status and headers of DESCRIBE; once more with the login where it is asked for."""
    until = time.monotonic() + options["open_timeout_s"]
    with socket.create_connection((address.host, address.port), options["open_timeout_s"]) as plain:
        secure = address.scheme == "rtsps"
        asking = context(options).wrap_socket(plain, server_hostname=address.host) if secure else plain
        with asking:
            status, headers = _ask(asking, 1, address, "", until)
            login = _authorization(address, headers.get("www-authenticate", [])) if status == 401 else ""
            if not login:
                return status, headers
            with suppress(ConnectionError):  # some close after a 401; FFmpeg comes back, and so do we
                return _ask(asking, 2, address, login, until)
    return status, headers


def _ask(
    connection: socket.socket, number: int, address: NetworkAddress, login: str, until: float
) -> tuple[int, dict[str, list[str]]]:
    lines = [
        f"DESCRIBE {address.url_without_login} RTSP/1.0",
        f"CSeq: {number}",
        "Accept: application/sdp",
        "User-Agent: EdgeMM",
        *([f"Authorization: {login}"] if login else []),
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return _answer(connection, until)


def _answer(connection: socket.socket, until: float) -> tuple[int, dict[str, list[str]]]:
    held = b""
    while b"\r\n\r\n" not in held and len(held) < LIMIT_BYTES:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError
        held += piece
    head, *lines = held.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    status = _STATUS.match(head)
    if status is None:
        raise SourceError("it answers with something that is no RTSP")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return int(status[1]), headers


def _authorization(address: NetworkAddress, challenges: list[str]) -> str:
    """The header that answers a challenge; "" where nobody knows how, FFmpeg included."""
    for challenge in challenges:
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            login = f"{address.user or ''}:{address.password or ''}"
            return f"Basic {base64.b64encode(login.encode()).decode()}"
        with suppress(ValueError, KeyError):  # a challenge that is damaged
            asked = parse_keqv_list(parse_http_list(rest))
            if scheme.lower() == "digest" and asked.get("algorithm", "MD5").upper() == "MD5":
                return f"Digest {_digest(address, asked)}"
    return ""


def _digest(address: NetworkAddress, asked: Mapping[str, str]) -> str:
    user, url, realm, nonce = address.user or "", address.url_without_login, asked["realm"], asked["nonce"]
    proof, what = _md5(user, realm, address.password or ""), _md5("DESCRIBE", url)
    said = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
    if "auth" in [word.strip() for word in asked.get("qop", "").split(",")]:
        own = secrets.token_hex(8)
        said |= {"cnonce": own, "response": _md5(proof, nonce, "00000001", own, "auth", what)}
        unquoted = ", qop=auth, nc=00000001"
    else:
        said["response"], unquoted = _md5(proof, nonce, what), ""
    said |= {"opaque": asked["opaque"]} if "opaque" in asked else {}
    return ", ".join(f'{name}="{value}"' for name, value in said.items()) + unquoted


def _md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
