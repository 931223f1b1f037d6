"""The one place from which this house asks other machines for something that an address names.

Discovery documents, feeds and pictures by address: whoever may give us an address must not be able
to reach what only this machine can reach. So a name is resolved once, every address it has is
judged, and the connection goes to an address that was judged: a name that changes its mind in
between has nothing to win. Addresses that carry another inside (IPv4-mapped, NAT64, 6to4, Teredo)
are judged by what they carry. Hosts inside the network are reached only when `internal_hosts`
names them.

No cookies, no proxies from the environment, no credentials beyond the host they were given for.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

MOST_BYTES = 20 * 1024**2
SECONDS = 10.0
REDIRECTS = 3
PIECE = 64 * 1024
PORTS = {"http": 80, "https": 443}
MOVED = frozenset({301, 302, 303, 307, 308})
UNREACHABLE = "This address is inside the network or not reachable."
SLOW = "This address took too long to answer."
# Whatever else a caller sends is for the first host alone.
HARMLESS = frozenset({"accept", "accept-language", "if-modified-since", "if-none-match"})
# RFC 3986: what may stand in a path or query as it is; "%" since it may be encoded already.
PLAIN = "/?:@!$&'()*+,;=%-._~[]"

GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052

Address = IPv4Address | IPv6Address


class OutwardError(Exception):
    """Nothing could be fetched; the message may be shown. It never tells inside from absent."""


@dataclass(frozen=True)
class Answer:
    """What a host answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class _Target:
    """One address to ask, taken apart."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """What the Host header says (RFC 9112 section 3.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass
class _Deadline:
    """The moment at which everything must be over; then the connection is cut, not only read late.

    A host that sends one byte a second never runs into a socket's own time limit.
    """

    seconds: float
    ends: float = field(init=False)
    passed: bool = False
    _held: socket.socket | None = None

    def __post_init__(self) -> None:
        self.ends = time.monotonic() + self.seconds

    def left(self) -> float:
        remaining = self.ends - time.monotonic()
        if remaining <= 0:
            raise OutwardError(UNREACHABLE)
        return remaining

    def watch(self, connected: socket.socket) -> threading.Timer:
        """Cut this connection when time is up, whatever it is doing then.

        The duplicate stays ours when TLS takes the descriptor over.
        """
        self._held = connected.dup()
        timer = threading.Timer(self.left(), self._cut)
        timer.daemon = True
        timer.start()
        return timer

    def _cut(self) -> None:
        self.passed = True
        if self._held is not None:
            try:
                self._held.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the other side was faster

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def fetch(
    internal_hosts: Collection[str],
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    most_bytes: int = MOST_BYTES,
    seconds: float = SECONDS,
) -> Answer:
    """Ask an http or https address and return what it answers, whatever the status.

    `internal_hosts` are the hosts that may lie inside the network, or answer at ports other than 80
    and 443: "idp.lan", "idp.lan:8443". At most three redirects are followed, each judged like the
    first address; none leads from https to http, and nothing that was sent is sent to another
    host. `most_bytes` and `seconds` bound the whole, redirects included.

    Raises:
        OutwardError: the address may not be asked, does not answer, or sends too much.
    """
    deadline = _Deadline(seconds)
    target = _target(internal_hosts, url)
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    for _ in range(REDIRECTS + 1):
        answer = _ask(internal_hosts, target, deadline, (method, body, sent), most_bytes)
        where = answer.headers.get("location")
        if answer.status not in MOVED or not where:
            return answer
        following = _target(internal_hosts, urljoin(_url(target), where))
        if (target.scheme, following.scheme) == ("https", "http"):
            raise OutwardError(UNREACHABLE)
        if answer.status == 303 or (answer.status in {301, 302} and method == "POST"):
            method, body = "GET", None
            sent.pop("content-type", None)
        if following.origin != target.origin:
            if body is not None:
                raise OutwardError(UNREACHABLE)
            sent = {name: value for name, value in sent.items() if name in HARMLESS}
        target = following
    raise OutwardError("This address leads from one to the next too often.")


def _url(target: _Target) -> str:
    return f"{target.scheme}://{target.authority}{target.path}"


def _target(internal_hosts: Collection[str], url: str) -> _Target:
    if any(ord(c) < 33 or c in "\\\x7f" for c in url):
        raise OutwardError(UNREACHABLE)
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
        # A name in other scripts becomes what the resolver and the certificate know it by.
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError is one
        raise OutwardError(UNREACHABLE) from error
    if parts.scheme not in PORTS or not host or "@" in parts.netloc:
        raise OutwardError(UNREACHABLE)
    if port not in PORTS.values() and not _named(internal_hosts, host, port):
        raise OutwardError(UNREACHABLE)
    return _Target(parts.scheme, host, port, _path(parts))


def _path(parts: SplitResult) -> str:
    query = f"?{quote(parts.query, PLAIN)}" if parts.query else ""
    return quote(parts.path or "/", PLAIN) + query


def _named(internal_hosts: Collection[str], host: str, port: int) -> bool:
    """Whether the list names this host, for this port or for the usual ones."""
    for entry in internal_hosts:
        bare = entry.count(":") > 1 and not entry.startswith("[")
        try:
            known = urlsplit(f"//[{entry}]" if bare else f"//{entry}")
            ports = {known.port} if known.port else set(PORTS.values())
        except ValueError:
            continue
        if known.hostname == host and port in ports:
            return True
    return False


def _ask(
    internal_hosts: Collection[str],
    target: _Target,
    deadline: _Deadline,
    sent: tuple[str, bytes | None, dict[str, str]],
    most_bytes: int,
) -> Answer:
    """Ask once, and cut the connection when time is up."""
    inside = _named(internal_hosts, target.host, target.port)
    plain = _connected(_judged(target, deadline, inside=inside), deadline)
    timer = deadline.watch(plain)
    try:
        answer = _exchanged(plain, target, sent, most_bytes)
    except (OSError, http.client.HTTPException) as error:
        slow = deadline.passed or isinstance(error, TimeoutError)
        raise OutwardError(SLOW if slow else UNREACHABLE) from error
    finally:
        timer.cancel()
        deadline.release()
        plain.close()
    if deadline.passed:
        raise OutwardError(SLOW)  # what was read until then only looks whole
    return answer


def _judged(target: _Target, deadline: _Deadline, *, inside: bool) -> list[tuple[Any, ...]]:
    """Return where the host can be connected to: (family, socket address), all of them judged."""
    found = _in_time(
        lambda: socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM), deadline
    )
    if not found:
        raise OutwardError(UNREACHABLE)
    if not inside and not all(is_outside(str(where[0])) for *_, where in found):
        raise OutwardError(UNREACHABLE)
    return [(family, where) for family, _, _, _, where in found]


def _in_time(resolve: Callable[[], list[Any]], deadline: _Deadline) -> list[Any]:
    """Return what the resolver finds; it knows no time limit of its own, so it is left behind."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.extend(resolve())
        except (OSError, UnicodeError):
            found.clear()

    thread = threading.Thread(target=work, daemon=True, name="dare-resolve")
    thread.start()
    thread.join(deadline.left())
    return list(found)


def is_outside(address: str) -> bool:
    """Whether an address of a socket lies in the public network, and so does all it carries."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_public(carried) for carried in _carried(known))


def _is_public(address: Address) -> bool:
    if address.is_multicast or address.is_reserved:
        return False
    return address.is_global and (address.version == 4 or address in GLOBAL_UNICAST)


def _carried(address: Address) -> list[Address]:
    """Return the addresses that decide: those carried inside, or the address itself."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:  # RFC 3056
        return [address.sixtofour]
    if address.teredo is not None:  # RFC 4380: the server, and the client behind it
        return list(address.teredo)
    if address in NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def _connected(places: list[tuple[Any, ...]], deadline: _Deadline) -> socket.socket:
    """Return a connection to the first place that answers."""
    for family, where in places:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.settimeout(deadline.left())
            made.connect(where)
        except OSError:
            made.close()
        except OutwardError:
            made.close()
            raise
        else:
            return made
    raise OutwardError(UNREACHABLE)


def _exchanged(
    plain: socket.socket,
    target: _Target,
    sent: tuple[str, bytes | None, dict[str, str]],
    most_bytes: int,
) -> Answer:
    method, body, given = sent
    connection = http.client.HTTPConnection(target.host, target.port)
    # It is connected already: http.client must not look the name up again.
    connection.sock = plain if target.scheme == "http" else _secured(plain, target.host)
    fixed = {
        "Host": target.authority,
        "User-Agent": "dare",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    try:
        connection.request(method, target.path, body, {**given, **fixed})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        if headers.get("content-encoding", "") not in {"", "identity"}:
            raise OutwardError("This address answers in a form that we did not ask for.")
        return Answer(response.status, headers, _content(response, most_bytes))
    finally:
        connection.close()


def _secured(plain: socket.socket, host: str) -> ssl.SSLSocket:
    """Speak TLS; the certificate must be for the name that was asked for, by the system's roots."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context.wrap_socket(plain, server_hostname=host)


def _content(response: http.client.HTTPResponse, most_bytes: int) -> bytes:
    pieces, size = [], 0
    while piece := response.read(PIECE):
        size += len(piece)
        if size > most_bytes:
            raise OutwardError(f"This address sends more than {most_bytes / 1024**2:.0f} MiB.")
        pieces.append(piece)
    return b"".join(pieces)
