"""The one outward fetch: nothing inside is ever asked, and no answer takes more than its share."""

import datetime as dt
import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from service.outward import SLOW, UNREACHABLE, OutwardError, fetch, is_outside


class Desk(BaseHTTPRequestHandler):
    """Answers as its address asks, and remembers who came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.command, self.path, dict(self.headers.items())))
        length = int(self.headers.get("Content-Length", 0))
        self.server.bodies.append(self.rfile.read(length))
        what, _, rest = self.path.lstrip("/").partition("?")
        getattr(self, f"_{what or 'plain'}")(rest)

    do_POST = do_GET  # noqa: N815  the name is http.server's

    def _plain(self, _):
        self._say(200, b"hello", {"Content-Type": "text/plain", "X-Odd": "yes"})

    def _to(self, where):
        self._say(302, b"", {"Location": where})

    def _kept(self, where):
        self._say(307, b"", {"Location": where})

    def _again(self, left):
        count = int(left or 0)
        self._say(302, b"", {"Location": f"/again?{count - 1}" if count else "/plain"})

    def _missing(self, _):
        self._say(404, b"nothing")

    def _large(self, size):
        self._say(200, b"x" * int(size))

    def _endless(self, _):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        try:
            while not self.server.closing.is_set():
                self.wfile.write(b"x" * 65536)
        except OSError:
            return

    def _drip(self, _):
        """Send one byte after the other, of a head that does not end for three seconds."""
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(60):
                if self.server.closing.wait(0.05):
                    return
                self.wfile.write(b"x")
                self.wfile.flush()
        except OSError:
            return

    def _drops(self, _):
        """Send half a body, without ever saying how long it is, then nothing."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"half")
        self.wfile.flush()
        self.server.closing.wait(3)
        self.close_connection = True

    def _packed(self, _):
        self._say(200, b"\x1f\x8b", {"Content-Encoding": "gzip"})

    def _say(self, status, content, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Desk)
        self.asked, self.bodies, self.closing = [], [], threading.Event()
        self.place = f"127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        """Cut connections are what some tests are about."""


@contextmanager
def serving(context=None):
    server = Server()
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server():
    with serving() as made:
        yield made


@pytest.fixture
def other():
    with serving() as made:
        yield made


def resolving(monkeypatch, *answers):
    """Let names resolve to these addresses, one list after the other; the last one stays."""
    left = list(answers)

    def found(host, port, *_, **__):
        try:
            addresses = [str(ip_address(host))]
        except ValueError:
            addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", found)


# What may be asked at all


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.9.9",
        "localhost",
        "0",
        "0.0.0.0",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:7f00:1::1]",
        "[2001:0:808:808::80ff:fffe]",
        "[fe80::1]",
        "[fc00::1]",
        "[ff02::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_s43_no_form_of_an_inner_address_is_asked(server, host):
    # The list names the server by its own name and port: nothing else that leads there is on it.
    for port in ("", ":80", f":{server.server_port}"):
        with pytest.raises(OutwardError, match=UNREACHABLE):
            fetch((), f"http://{host}{port}/plain", seconds=5)
    if host.encode("idna") != b"127.0.0.1":  # else it is the very host that the list names
        with pytest.raises(OutwardError, match=UNREACHABLE):
            fetch([server.place], f"http://{host}:{server.server_port}/plain", seconds=5)
    assert server.asked == []
    if host.startswith("["):
        assert not is_outside(host.strip("[]"))


@pytest.mark.parametrize(
    "url",
    [
        "gopher://127.0.0.1/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "data:text/plain,x",
        "//127.0.0.1/plain",
        "127.0.0.1/plain",
        "http:///plain",
        "http://",
        "",
        "http://[",
        "http://127.0.0.1:99999/",
        "http://me@{place}/plain",
        "http://me:word@{place}/plain",
        "http://@{place}/plain",
        "http://{place}\\@example.org/",
        "http://{place}/a b",
        "http://{place}/a\r\nX: y",
        "\thttp://{place}/plain",
    ],
)
def test_s43_no_other_scheme_and_no_odd_spelling_is_asked(server, url):
    with pytest.raises(OutwardError, match=UNREACHABLE):
        fetch([server.place], url.format(place=server.place), seconds=5)
    assert server.asked == []


def test_s43_a_name_is_refused_when_one_of_its_addresses_is_inside(monkeypatch, server):
    resolving(monkeypatch, ["93.184.216.34", "127.0.0.1"])
    with pytest.raises(OutwardError, match=UNREACHABLE):
        fetch((), "http://two.example/", seconds=1)
    resolving(monkeypatch, [])
    with pytest.raises(OutwardError, match=UNREACHABLE):
        fetch((), "http://none.example/", seconds=1)


def test_s43_a_name_that_changes_its_mind_is_asked_where_it_was_judged(monkeypatch):
    resolving(monkeypatch, ["198.51.100.7", "198.51.100.8"], ["127.0.0.1"])
    tried = []

    class Line(socket.socket):
        def connect(self, where):
            tried.append(where)
            raise OSError("nobody there")

    # The two are of the documentation's range, which is not global: let them be, here alone.
    monkeypatch.setattr("service.outward.is_outside", lambda address: address != "127.0.0.1")
    monkeypatch.setattr(socket, "socket", Line)
    with pytest.raises(OutwardError, match=UNREACHABLE):
        fetch((), "http://rebinding.example/", seconds=1)
    assert tried == [("198.51.100.7", 80), ("198.51.100.8", 80)]
    with pytest.raises(OutwardError, match=UNREACHABLE):
        fetch((), "http://rebinding.example/", seconds=1)
    assert len(tried) == 2


def test_s43_inside_and_absent_read_the_same(server):
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        free = f"127.0.0.1:{reserved.getsockname()[1]}"
    words = set()
    for hosts, url in (((), f"http://{server.place}/"), ((free,), f"http://{free}/")):
        with pytest.raises(OutwardError) as refused:
            fetch(hosts, url, seconds=5)
        words.add(str(refused.value))
    assert words == {UNREACHABLE}


@pytest.mark.parametrize(
    "where",
    [
        "http://localhost:{port}/plain",
        "http://127.0.0.2:{port}/plain",
        "http://[::ffff:127.0.0.1]:{port}/plain",
        "http://169.254.169.254/latest",
        "//localhost:{port}/plain",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
    ],
)
def test_s43_a_redirect_inside_is_judged_like_the_first_address(server, where):
    with pytest.raises(OutwardError, match=UNREACHABLE):
        fetch([server.place], f"http://{server.place}/to?{where.format(port=server.server_port)}")
    assert len(server.asked) == 1


def test_s43_three_redirects_are_followed_and_not_a_fourth(server):
    assert fetch([server.place], f"http://{server.place}/again?2").content == b"hello"
    assert len(server.asked) == 4
    with pytest.raises(OutwardError, match="too often"):
        fetch([server.place], f"http://{server.place}/again?3")


# How much, and how long


def test_s43_what_is_too_large_is_not_read_to_its_end(server):
    assert len(fetch([server.place], f"http://{server.place}/large?1000", most_bytes=1000).content)
    for path in ("large?1001", "endless"):
        with pytest.raises(OutwardError, match="more than"):
            fetch([server.place], f"http://{server.place}/{path}", most_bytes=1000)


@pytest.mark.parametrize("path", ["drip", "drops"])
def test_s43_time_is_up_even_when_a_byte_comes_now_and_then(server, path):
    begun = time.monotonic()
    with pytest.raises(OutwardError, match=SLOW):
        fetch([server.place], f"http://{server.place}/{path}", seconds=0.4)
    assert 0.3 < time.monotonic() - begun < 2


def test_s43_time_is_up_in_the_middle_of_a_tls_greeting():
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(OutwardError, match=SLOW):
            fetch([place], f"https://{place}/", seconds=0.4)
    assert time.monotonic() - begun < 2


def test_s43_a_resolver_that_never_answers_is_left_behind(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(5) and [])
    begun = time.monotonic()
    with pytest.raises(OutwardError, match=UNREACHABLE):
        fetch((), "http://slow.example/", seconds=0.3)
    assert time.monotonic() - begun < 2
    release.set()


# What travels


def test_an_answer_is_its_status_its_headers_and_its_bytes(server):
    answer = fetch(
        [server.place],
        f"http://{server.place}/plain?q=größe",
        method="POST",
        body=b"a=b",
        headers={"Accept": "text/plain"},
    )
    assert (answer.status, answer.content) == (200, b"hello")
    assert answer.headers["x-odd"] == "yes"
    method, path, headers = server.asked[0]
    assert (method, path) == ("POST", "/plain?q=gr%C3%B6%C3%9Fe")
    assert headers["Host"] == server.place
    assert headers["accept"] == "text/plain"
    assert server.bodies == [b"a=b"]
    assert fetch([server.place], f"http://{server.place}/missing").status == 404


def test_s45_neither_cookies_nor_proxies_nor_keys_come_along(monkeypatch, server, other):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{other.place}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-key-of-the-store")
    fetch([server.place], f"http://{server.place}/plain")
    [(_, _, headers)] = server.asked
    assert other.asked == []
    assert {name.lower() for name in headers} == {
        "host",
        "user-agent",
        "accept-encoding",
        "connection",
    }


def test_s45_what_was_sent_to_one_host_is_not_sent_to_the_next(server, other):
    secret = {"Authorization": "Basic c2VjcmV0", "X-Key": "secret", "Accept": "text/plain"}
    both = [server.place, other.place]
    fetch(both, f"http://{server.place}/to?http://{other.place}/plain", headers=secret)
    [(_, _, headers)] = other.asked
    assert "secret" not in str(headers).replace("c2VjcmV0", "secret")
    assert headers["accept"] == "text/plain"
    with pytest.raises(OutwardError, match=UNREACHABLE):
        fetch(
            both,
            f"http://{server.place}/kept?http://{other.place}/plain",
            method="POST",
            body=b"code=secret",
            headers=secret,
        )
    assert len(other.asked) == 1
    # At the same host it is the same conversation.
    fetch(both, f"http://{server.place}/to?/plain", headers=secret)
    assert server.asked[-1][2]["authorization"] == "Basic c2VjcmV0"


def test_s45_a_posted_form_is_not_posted_again_by_a_redirect(server):
    fetch(
        [server.place],
        f"http://{server.place}/to?/plain",
        method="POST",
        body=b"a=b",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert [asked[0] for asked in server.asked] == ["POST", "GET"]
    assert server.bodies == [b"a=b", b""]


def test_a_packed_answer_that_nobody_asked_for_is_refused(server):
    with pytest.raises(OutwardError, match="form that we did not ask for"):
        fetch([server.place], f"http://{server.place}/packed")


def test_a_host_on_the_list_is_reached_at_the_ports_that_the_list_names(server, monkeypatch):
    port = server.server_port
    for entry in (f"IDP.lan:{port}", f"idp.lan:{port}"):
        resolving(monkeypatch, ["127.0.0.1"])
        assert fetch([entry], f"http://idp.lan:{port}/plain").content == b"hello"
        assert server.asked[-1][2]["Host"] == f"idp.lan:{port}"
    for entry in ("idp.lan", "idp.lan:1", "lan", f"evil.idp.lan:{port}", ":", "[", "::1"):
        with pytest.raises(OutwardError, match=UNREACHABLE):
            fetch([entry], f"http://idp.lan:{port}/plain")


# TLS


def certificate(folder, name):
    """Write a certificate for a name, signed by itself, with its key; return the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_tls_wants_a_known_root_and_the_name_that_was_asked_for(tmp_path, monkeypatch):
    path = certificate(tmp_path, "idp.lan")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    resolving(monkeypatch, ["127.0.0.1"])
    with serving(context) as server:
        port = server.server_port
        hosts = [f"idp.lan:{port}", f"other.lan:{port}", f"127.0.0.1:{port}"]
        with pytest.raises(OutwardError, match=UNREACHABLE):
            fetch(hosts, f"https://idp.lan:{port}/plain")
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert fetch(hosts, f"https://idp.lan:{port}/plain").content == b"hello"
        for name in ("other.lan", "127.0.0.1"):
            with pytest.raises(OutwardError, match=UNREACHABLE):
                fetch(hosts, f"https://{name}:{port}/plain")
        # Nor is what came by https taken further by http.
        with serving() as plain:
            where = f"https://idp.lan:{port}/to?http://{plain.place}/plain"
            with pytest.raises(OutwardError, match=UNREACHABLE):
                fetch([*hosts, plain.place], where)
            assert plain.asked == []
        assert [path for _, path, _ in server.asked] == ["/plain", where[where.index("/to") :]]


# The judgement itself


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_outside(address):
    assert is_outside(address)


@given(st.integers(0, 2**32 - 1))
def test_an_address_that_carries_another_is_as_inside_as_what_it_carries(number):
    plain = IPv4Address(number)
    outside = is_outside(str(plain))
    for carrier in (
        f"::ffff:{plain}",
        str(IPv6Address((0x64FF9B << 96) | number)),
        str(IPv6Address((0x2002 << 112) | (number << 80) | 1)),
    ):
        assert is_outside(carrier) == outside
    assert not is_outside(f"::{plain}")


@given(st.text(max_size=30))
def test_what_is_no_address_is_not_outside(text):
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        assert not is_outside(text)
