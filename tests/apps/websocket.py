"""Talks to an echo server over a WebSocket; its argument is the URL, and the second one the
value of X-Shared-Secret. Fails by an exception."""

import os
import sys

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect

URL, SECRET = sys.argv[1:]


def session(**options):
    headers = {"X-Shared-Secret": SECRET}
    return connect(URL, additional_headers=headers, max_size=None, open_timeout=30, **options)


for compression in (None, "deflate"):
    with session(compression=compression, subprotocols=["chat", "other"]) as socket:
        assert socket.subprotocol == "chat", socket.subprotocol
        for text in ("", "a", "\u00e4\U0001f600", "x" * 1_000_000):
            socket.send(text)
            assert socket.recv(30) == text
        for data in (b"", b"\x00\xff", os.urandom(126), os.urandom(70_000), os.urandom(1_000_000)):
            socket.send(data)
            assert socket.recv(30) == data
        # Fragments of one message.
        socket.send(["frag", "men", "ted"])
        assert socket.recv(30) == "fragmented"
        assert socket.ping().wait(30), "no pong"
        # Many in flight, in order.
        for number in range(200):
            socket.send(str(number))
        assert [socket.recv(30) for _ in range(200)] == [str(number) for number in range(200)]
        socket.send("close")
        try:
            socket.recv(30)
        except (ConnectionClosedError, ConnectionClosedOK) as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you wish"), closed
        else:
            raise AssertionError("it is open still")

with session() as socket:
    socket.close(4002, "enough")
# Tornado answers with the code alone.
assert socket.close_code == 4002, socket.close_code

if len(SECRET) > 1 and os.environ.get("APPS_DIRECT") != "1":
    try:
        connect(URL, open_timeout=30).close()
    except InvalidStatus as refused:
        assert refused.response.status_code == 401
    else:
        raise AssertionError("it needs no secret")
