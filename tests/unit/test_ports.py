"""Ports of this machine."""

import errno
import socket
import threading

from storage.embedded.ports import LOOPBACK, bindable, free_ports, status_of
from storage.embedded.seaweed import ADMIN_GRPC_OFFSET, SeaweedPorts


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(bindable(LOOPBACK, port) is None for port in ports)


def test_a_taken_port_says_so() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        error = bindable(LOOPBACK, server.getsockname()[1])
    assert error is not None
    assert error.errno == errno.EADDRINUSE


def test_an_address_of_another_machine_says_so() -> None:
    error = bindable("192.0.2.1", 8000)
    assert error is not None
    assert error.errno == errno.EADDRNOTAVAIL


def test_status_is_read_from_the_first_line() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:

        def answer() -> None:
            one, _ = server.accept()
            with one:
                one.recv(1000)
                one.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert status_of(server.getsockname()[1], "/") == 403
        thread.join()


def test_nobody_there_is_no_status() -> None:
    assert status_of(free_ports(1)[0], "/") is None


def test_a_server_that_is_silent_is_no_status() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert status_of(server.getsockname()[1], "/", timeout=0.1) is None


def test_the_store_finds_its_housekeeper_where_it_looks() -> None:
    ports = SeaweedPorts.free()
    assert ports.admin_grpc == ports.admin + ADMIN_GRPC_OFFSET
    assert f"-admin.port.grpc={ports.admin_grpc}" in ports.flags()
    assert len(ports.flags()) == 10
