"""What the guest may reach: nothing unless asked for, named hosts by a relay, or everything; never a login."""

import contextlib
import socket
import subprocess
import sys
import threading

from pipeline.vm import way_out

FLATHUB = ["dl.flathub.org:443", "dl.flathub.org:80", "updates.example.org:8080"]


def test_nothing_is_reached_unless_it_is_asked_for() -> None:
    assert way_out.network(allowed=False) == ["restrict=on"]
    assert way_out.hosts(allowed=False) == ""


def test_everything_is_open_when_that_is_asked_for() -> None:
    assert way_out.network(allowed=True) == []
    assert way_out.hosts(allowed=True) == ""


def test_each_host_has_an_address_that_the_guest_knows_by_name() -> None:
    restricted, *forwards = way_out.network(FLATHUB)
    assert restricted == "restrict=on"
    assert [forward.partition("-cmd:")[0] for forward in forwards] == [
        "guestfwd=tcp:10.0.2.101:443",
        "guestfwd=tcp:10.0.2.101:80",
        "guestfwd=tcp:10.0.2.102:8080",
    ]
    assert forwards[2].endswith(" updates.example.org 8080")
    assert way_out.hosts(FLATHUB).splitlines() == [
        "f /etc/hosts 0644 root root - -",
        "w+ /etc/hosts - - - - 10.0.2.101 dl.flathub.org\\n",
        "w+ /etc/hosts - - - - 10.0.2.102 updates.example.org\\n",
    ]


def test_a_connection_is_carried_both_ways_to_its_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as lines:
                lines.write(b"you said " + lines.readline())

        threading.Thread(target=answer, daemon=True).start()
        assert asked(server.getsockname()[1]) == b"you said hello\n"


def test_a_host_that_does_not_answer_is_a_hang_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert asked(port) == b""


def asked(port: int) -> bytes:
    """What the program carries back for `hello`, as QEMU starts it: with a socket as its standard input."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-I", way_out.__file__, "127.0.0.1", str(port)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as program:
        theirs.close()
        with ours, contextlib.suppress(ConnectionResetError):  # how one end of a pair sees that the other hung up
            ours.sendall(b"hello\n")
            return b"".join(iter(lambda: ours.recv(1024), b""))
        program.wait(10)
    return b""
