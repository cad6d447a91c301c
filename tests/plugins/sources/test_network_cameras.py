"""Whom a network camera's reader trusts, and who gets to know the login. Servers are threads on loopback that end with their test."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
import trustme

from edgemm.errors import SourceError
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.sources import edgemm_sources
from edgemm_plugins.sources.camera import build
from edgemm_plugins.sources.tls import KEEPS_TLS

OPTIONS = {
    option.name: option.default for entry in edgemm_sources() if entry.name == "camera" for option in entry.options
} | {"open_timeout_s": 5.0}
IMAGE = {"cam": Image(96, 96)}
LOGIN = base64.b64encode(b"ann:hunter2").decode()
AUTHORITY = trustme.CA()
OURS = AUTHORITY.issue_cert("127.0.0.1", "localhost")
FOR_ANOTHER_HOST = AUTHORITY.issue_cert("evil.example")
OF_A_STRANGER = trustme.CA().issue_cert("127.0.0.1", "localhost")
HTTPS, RTSPS = (
    pytest.mark.skipif(av.library_versions["libavformat"] < since, reason=f"this FFmpeg does not keep {scheme}")
    for scheme, since in KEEPS_TLS.items()
)


class Server(socketserver.ThreadingTCPServer):
    """Speaks enough HTTP and RTSP to ask for a login and to send its readers elsewhere; `seen` is what it was told."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, certificate: trustme.LeafCert | None, to: str = "", digest: bool = False, protocol: str = ""
    ) -> None:
        self.seen: list[str] = []
        self.to, self.digest, self.protocol = to, digest, protocol
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if certificate:
            certificate.configure_cert(self.context)
        super().__init__(("127.0.0.1", 0), Conversation)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def logins(self) -> list[str]:
        return [line.partition(": ")[2] for line in self.seen if line.lower().startswith("authorization")]

    def finish_request(self, request, client_address) -> None:
        secured = None
        try:
            if self.context:
                request = secured = self.context.wrap_socket(request, True, do_handshake_on_connect=False)
                secured.do_handshake()
            super().finish_request(request, client_address)
        except OSError:
            pass  # the reader does not trust us, or has gone
        finally:
            if secured:
                secured.close()


class Conversation(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self) -> None:
        while lines := self.request_lines():
            self.server.seen += lines
            protocol = self.server.protocol or lines[0].split()[-1]
            number = next((line for line in lines if line.startswith("CSeq")), "CSeq: 1")
            status, extra = self.answer(lines)
            head = [f"{protocol} {status}", number, "Content-Length: 0", *extra, "", ""]
            self.wfile.write("\r\n".join(head).encode())

    def request_lines(self) -> list[str]:
        lines = []
        while line := self.rfile.readline().strip().decode("latin-1"):
            lines.append(line)
        return lines

    def answer(self, lines: list[str]) -> tuple[str, list[str]]:
        asked = 'Digest realm="x", nonce="abc", qop="auth"' if self.server.digest else 'Basic realm="x"'
        if lines[0].startswith("OPTIONS"):
            return "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY"]
        if not any(line.lower().startswith("authorization") for line in lines):
            return "401 Unauthorized", [f"WWW-Authenticate: {asked}"]
        if self.server.to:
            return "302 Found", [f"Location: {self.server.to}"]
        return "404 Not Found", []


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(certificate: trustme.LeafCert | None = None, **options) -> Server:
        servers.append(Server(certificate, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ours.pem")
    return str(tmp_path / "ours.pem")


def failure(url: str, **options) -> str:
    """Why a camera cannot be opened."""
    with pytest.raises(SourceError) as caught:
        list(build(url, IMAGE, OPTIONS | options).packets(lambda: False))
    return str(caught.value)


SECURE = pytest.mark.parametrize("scheme", [pytest.param("https", marks=HTTPS), pytest.param("rtsps", marks=RTSPS)])


@pytest.mark.media
@SECURE
@pytest.mark.parametrize(
    ("certificate", "reason"), [(FOR_ANOTHER_HOST, "127.0.0.1"), (OF_A_STRANGER, "unable to get local issuer")]
)
def test_a_camera_that_cannot_prove_who_it_is_gets_no_login(serve, ca_file, scheme, certificate, reason) -> None:
    server = serve(certificate)
    message = failure(f"{scheme}://ann:hunter2@127.0.0.1:{server.port}/cam", ca_file=ca_file)
    assert "its certificate is not trusted" in message
    assert reason in message
    assert "edgemm.ca_file" in message
    assert server.seen == []
    assert "hunter2" not in message


@pytest.mark.media
@SECURE
def test_by_default_the_systems_authorities_decide(serve, scheme) -> None:
    server = serve(OURS)
    assert "certificate is not trusted" in failure(f"{scheme}://ann:hunter2@127.0.0.1:{server.port}/cam")
    assert server.seen == []


@pytest.mark.media
@SECURE
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_camera_whose_certificate_is_trusted_gets_the_login(serve, ca_file, scheme, host) -> None:
    server = serve(OURS)
    assert "404" in failure(f"{scheme}://ann:hunter2@{host}:{server.port}/cam", ca_file=ca_file)
    assert set(server.logins) == {f"Basic {LOGIN}"}


@pytest.mark.media
@SECURE
def test_insecure_trusts_whoever_answers(serve, scheme) -> None:
    server = serve(FOR_ANOTHER_HOST)
    assert "404" in failure(f"{scheme}://ann:hunter2@127.0.0.1:{server.port}/cam", insecure=True)
    assert set(server.logins) == {f"Basic {LOGIN}"}


@pytest.mark.media
@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_an_ffmpeg_that_does_not_keep_tls_is_not_used_for_it(serve, ca_file, monkeypatch, scheme) -> None:
    server = serve(OURS)
    monkeypatch.setitem(av.library_versions, "libavformat", (61, 7, 100))
    message = failure(f"{scheme}://ann:hunter2@127.0.0.1:{server.port}/cam", ca_file=ca_file)
    assert f"does not keep to the rules of {scheme}: pip install --upgrade av" in message
    assert server.seen == []


@pytest.mark.media
@HTTPS
def test_https_is_not_left_for_http(serve, ca_file) -> None:
    plain = serve()
    server = serve(OURS, to=f"http://127.0.0.1:{plain.port}/cam")
    message = failure(f"https://ann:hunter2@127.0.0.1:{server.port}/cam", ca_file=ca_file)
    assert (
        "sends its readers to an address of another kind" in message or "401" in message
    )  # FFmpeg 8.0 says what came before
    assert plain.seen == []


@pytest.mark.media
@pytest.mark.parametrize("secure", [False, pytest.param(True, marks=HTTPS)])
def test_another_host_that_a_camera_names_is_not_given_the_login_over_http(serve, ca_file, secure) -> None:
    certificate, scheme = (OURS, "https") if secure else (None, "http")
    other = serve(certificate)
    server = serve(certificate, to=f"{scheme}://localhost:{other.port}/cam")
    options = {"ca_file": ca_file} if secure else {}
    assert "401" in failure(f"{scheme}://ann:hunter2@127.0.0.1:{server.port}/cam", **options)
    assert other.seen
    assert other.logins == []


@pytest.mark.media
@pytest.mark.parametrize("digest", [False, True])
def test_another_host_that_a_camera_names_is_not_told_of_over_rtsp(serve, digest) -> None:
    other = serve()
    server = serve(to=f"rtsp://localhost:{other.port}/cam?token=hunter3", digest=digest)
    message = failure(f"rtsp://ann:hunter2@127.0.0.1:{server.port}/cam")
    assert (
        f"it sends its readers to rtsp://localhost:{other.port}/cam?token=***, which is not given the login" in message
    )
    assert server.logins[0].startswith("Digest username" if digest else f"Basic {LOGIN}")
    assert other.seen == []


@pytest.mark.media
@RTSPS
def test_rtsps_is_not_left_for_rtsp(serve, ca_file) -> None:
    plain = serve()
    server = serve(OURS, to=f"rtsp://127.0.0.1:{plain.port}/cam")
    assert "where nothing is encrypted" in failure(f"rtsps://ann:hunter2@127.0.0.1:{server.port}/cam", ca_file=ca_file)
    assert plain.seen == []


@pytest.mark.media
def test_a_camera_may_send_its_readers_to_another_place_of_its_own(serve) -> None:
    there = serve()
    server = serve(to=f"rtsp://127.0.0.1:{there.port}/cam")
    assert "404" in failure(f"rtsp://ann:hunter2@127.0.0.1:{server.port}/cam")
    assert there.logins


def test_a_camera_that_sends_in_circles_is_refused(serve) -> None:
    server = serve()
    server.to = f"rtsp://127.0.0.1:{server.port}/cam"
    assert "more than 5 times" in failure(f"rtsp://ann:hunter2@127.0.0.1:{server.port}/cam")


def test_the_answer_to_a_digest_is_that_of_its_specification() -> None:
    """RFC 2617, 3.5, with the method and the URL of RTSP in place of HTTP's: computed by hand."""
    from hashlib import md5

    from edgemm_plugins.sources.network_address import NetworkAddress
    from edgemm_plugins.sources.rtsp_redirection import _authorization

    address = NetworkAddress("rtsp", "cam", 554, "cam/1", "Mufasa", "Circle Of Life")
    said = _authorization(address, ['Digest realm="a, b", nonce="n", opaque="o"'])
    proof = md5(b"Mufasa:a, b:Circle Of Life").hexdigest()
    what = md5(b"DESCRIBE:rtsp://cam/1").hexdigest()
    response = md5(f"{proof}:n:{what}".encode()).hexdigest()
    assert said == (
        f'Digest username="Mufasa", realm="a, b", nonce="n", uri="rtsp://cam/1", response="{response}", opaque="o"'
    )
    assert _authorization(address, ["Digest algorithm=MD5, nonsense", 'Digest realm="a", nonce="n", algorithm=X']) == ""


# Where the login comes from

HARD = "p@ss /:?#[]%41&=ü+"


@pytest.mark.media
@pytest.mark.parametrize("scheme", ["http", "rtsp"])
@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_login_may_lie_in_the_environment_or_in_a_file(serve, scheme, kind, tmp_path, monkeypatch) -> None:
    server = serve()
    monkeypatch.setenv("CAMERA_LOGIN", f"ann:{HARD}")
    (tmp_path / "login").write_text(f"ann:{HARD}\n", encoding="utf-8")
    asked = "env:CAMERA_LOGIN" if kind == "env" else f"file:{tmp_path}/login"
    message = failure(f"{scheme}://127.0.0.1:{server.port}/cam", credentials=asked)
    assert "404" in message
    assert set(server.logins) == {f"Basic {base64.b64encode(f'ann:{HARD}'.encode()).decode()}"}


@pytest.mark.media
@pytest.mark.parametrize("scheme", ["http", "rtsp"])
@pytest.mark.parametrize("written", ["my pass", "p%40ss", "p@ss", "a:b;c", "100%"])
def test_a_login_in_the_uri_may_be_written_with_or_without_percent_signs(serve, scheme, written) -> None:
    server = serve()
    assert "404" in failure(f"{scheme}://ann:{written}@127.0.0.1:{server.port}/cam")
    meant = written.replace("%40", "@")
    assert set(server.logins) == {f"Basic {base64.b64encode(f'ann:{meant}'.encode()).decode()}"}


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        (
            "rtsp://cam/1",
            {"credentials": "env:NOT_SET_HERE"},
            "expected user:password in the environment variable NOT_",
        ),
        ("rtsp://cam/1", {"credentials": "file:/nowhere/login"}, "file /nowhere/login: No such file"),
        ("rtsp://cam/1", {"credentials": "ann:hunter2"}, "env:NAME or file:PATH, not the login itself"),
        ("rtsp://ann:hunter2@cam/1", {"credentials": "env:HOME"}, "is given in the URI and as edgemm.credentials"),
        ("rtsp://ann:hun/hunter2@cam/1", {}, "'/', '\\?' and '#' are written %2F"),
        ("https://cam:99999/1", {}, "expected https://host:port/path"),
        ("http:cam", {}, "expected http://host:port/path"),
        ("http://cam/1", {"ca_file": "/etc/hosts"}, "are for https and rtsps"),
        ("rtsp://cam/1", {"insecure": True}, "are for https and rtsps"),
        ("https://cam/1", {"insecure": True, "ca_file": "/etc/hosts"}, "leave one out"),
        ("https://cam/1", {"ca_file": "/nowhere/ca.pem"}, "there is no file /nowhere/ca.pem"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_connected(uri, options, message) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        build(uri, IMAGE, OPTIONS | options)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).startswith("camera '")


def test_a_file_that_is_no_login_is_refused(tmp_path) -> None:
    (tmp_path / "login").write_bytes(b"ann:hunter2\nanother:line")
    with pytest.raises(SourceError, match="and nothing else") as caught:
        build("rtsp://cam/1", IMAGE, OPTIONS | {"credentials": f"file:{tmp_path}/login"})
    assert "hunter2" not in str(caught.value)


def test_what_does_not_speak_rtsp_gets_no_login(serve) -> None:
    server = serve(protocol="HTTP/1.1")
    assert "no RTSP" in failure(f"rtsp://ann:hunter2@127.0.0.1:{server.port}/cam")
    assert server.logins == []
