"""TCP ports of this machine: which are free, and what answers on one.

Plain sockets, because the supervisor imports this and must stay small.
"""

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that nothing on loopback listens on now."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in held]


def bindable(address: str, port: int) -> OSError | None:
    """Return why nobody can listen on `address`:`port` now; None when one can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one:
        # As servers do: a port whose last connections are still closing counts as free.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((address, port))
        except OSError as error:
            return error
    return None


def status_of(port: int, path: str, *, address: str = LOOPBACK, timeout: float = 1.0) -> int | None:
    """Return the HTTP status that `path` answers with; None when nothing answers in `timeout` s."""
    try:
        with socket.create_connection((address, port), timeout) as one:
            one.settimeout(timeout)
            one.sendall(f"GET {path} HTTP/1.0\r\nHost: {address}:{port}\r\n\r\n".encode())
            line = one.makefile("rb").readline(200).split()
    except OSError:
        return None
    return int(line[1]) if len(line) > 1 and line[1].isdigit() else None
