"""More than anybody should send: bodies over the limit, and connections that are opened and left."""

import os
import resource
import socket

import pytest
from devices import until
from wire import Wire

pytestmark = pytest.mark.runmesh_only

LIMIT = 32 << 20


@pytest.fixture
def device(devices):
    return devices("ann").up()


def memory(device) -> int:
    """What the daemon's process has in memory, in bytes."""
    pages = int(open(f"/proc/{device.process.pid}/statm").read().split()[1])
    return pages * resource.getpagesize()


def post(device, head: str) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", device.port))
    request = f"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{head}\r\n\r\n"
    stream.sendall(request.encode())
    return stream


def test_a_body_over_the_limit_is_refused_and_not_kept(device):
    wire = Wire(device.url)
    wire.get("experiments/get?experiment_id=0")
    before = memory(device)
    piece = b" " * (1 << 20)

    def declared(stream) -> None:
        for _ in range(200):
            stream.sendall(piece)

    def chunked(stream) -> None:
        for _ in range(200):
            stream.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        stream.sendall(b"0\r\n\r\n")

    for head, send in ((f"Content-Length: {200 << 20}", declared), ("Transfer-Encoding: chunked", chunked)):
        with post(device, head) as stream:
            send(stream)
            answer = stream.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert b"INVALID_PARAMETER_VALUE" in answer and str(LIMIT).encode() in answer
    # Of a body that does not say how long it is, as much is read as may be sent.
    assert memory(device) - before < 3 * LIMIT
    assert wire.send("GET", "/health").body == b"OK"


def test_ten_thousand_idle_connections_do_not_stop_the_daemon(device):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = hard if hard != resource.RLIM_INFINITY else 1 << 20
    # The daemon takes all the room it is given; some is left to it for its own files.
    count = min(10_000, room - 500)
    print(f"{count} connections: the system lets a process have {room} files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    idle = []
    try:
        for at in range(count):
            stream = socket.create_connection(("127.0.0.1", device.port))
            # Some say nothing, some begin and never end.
            stream.sendall([b"", b"GET /hea", b"POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: x\r\n"][at % 3])
            idle.append(stream)
        wire = Wire(device.url)
        for at in range(50):
            assert wire.send("GET", "/health").body == b"OK"
            made = wire.post("experiments/create", {"name": f"among the idle {at}"})
            assert made.status == 200, made.body
    finally:
        for stream in idle:
            stream.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert device.process.poll() is None, device.said()
    until(lambda: len(open_files(device)) < 200, "the daemon lets go of connections that ended")


def open_files(device) -> list[str]:
    return os.listdir(f"/proc/{device.process.pid}/fd")
