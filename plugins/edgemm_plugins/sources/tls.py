"""TLS of network cameras: the certificate is verified unless the user says otherwise, and a refusal says what is wrong with it.

Source: https://ffmpeg.org/ffmpeg-protocols.html#tls
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgemm.errors import SourceError
from edgemm.uris import Location
from edgemm_plugins.sources.network_address import NetworkAddress

SCHEMES = ("https", "rtsps")
KEEPS_TLS = {  # since which libavformat; those before take what they are told, and follow https to http, or do not verify rtsps, all the same
    "https": (62, 12),
    "rtsps": (62,),
}
LOOK_S = 3.0
SYSTEM_FILES = (  # Debian, Fedora, SUSE, Alpine: FFmpeg in a wheel looks where its own build machine kept them
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def check_tls(location: Location, options: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other, or that could not be kept.

    Raises:
        SourceError: says which, before anything is connected.
    """
    own = options["ca_file"]
    if (own or options["insecure"]) and location.scheme not in SCHEMES:
        raise SourceError(f"ca_file and insecure are for {' and '.join(SCHEMES)}; this is neither")
    if own and options["insecure"]:
        raise SourceError("ca_file says whom to trust, insecure to trust anybody; leave one out")
    if own and not Path(own).is_file():
        raise SourceError(f"there is no file {own} (ca_file, certificates in PEM)")


def tls_options(location: Location, options: Mapping[str, Any]) -> dict[str, str]:
    """What FFmpeg is told; nothing for a scheme without TLS.

    Raises:
        SourceError: this FFmpeg cannot verify the certificate of such a camera.
    """
    if location.scheme not in SCHEMES:
        return {}
    if options["insecure"]:
        return {"tls_verify": "0"}
    _check_version(location.scheme)
    authorities = _authorities(options["ca_file"])
    return {"tls_verify": "1", **({"ca_file": authorities} if authorities else {})}


def certificate_problem(address: NetworkAddress, options: Mapping[str, Any]) -> str:
    """What is wrong with a camera's certificate; "" when nothing is, or nobody can say. Sends nothing but a handshake."""
    if address.scheme not in SCHEMES or options["insecure"]:
        return ""
    try:
        with socket.create_connection((address.host, address.port), LOOK_S) as plain:
            context(options).wrap_socket(plain, server_hostname=address.host).close()
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted ({error.verify_message.rstrip('.')})"
    except (OSError, ValueError):
        pass  # whatever it is, it is no certificate
    return ""


def context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """The same rules for a connection of Python's own.

    Raises:
        OSError: the file of authorities is none.
    """
    made = ssl.create_default_context(cafile=_authorities(options["ca_file"]) or None)
    if options["insecure"]:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _authorities(own: str) -> str:
    """A file of the certificates to trust: the user's, else the system's."""
    if own:
        return str(Path(own).absolute())
    known = ssl.get_default_verify_paths().cafile
    return next((path for path in (known, *SYSTEM_FILES) if path and Path(path).is_file()), "")


def _check_version(scheme: str) -> None:
    import av

    if av.library_versions["libavformat"] < KEEPS_TLS[scheme]:
        raise SourceError(
            f"this PyAV ({av.__version__}) does not keep to the rules of {scheme}: pip install --upgrade av, or say ?edgemm.insecure=true to trust "
            "whoever answers"
        )
