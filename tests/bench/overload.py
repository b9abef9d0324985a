"""How long a client waits beside others that are many: what must stay short.

usage: overload.py [BINARY]   target/dist/origin-guard unless given

Everything runs on loopback, and ends by pid.
"""

import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GUARD = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target" / "dist" / "origin-guard"
SECRET = "benchmark-secret-0123456789abcdef"
REQUEST = f"GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
PIPELINERS = 300
ASKED = 500


class Guard:
    def __init__(self, **environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = probe.getsockname()
        environment |= {"SHARED_SECRET": SECRET, "LISTEN": "127.0.0.1:%d" % self.address[1]}
        self.process = subprocess.Popen([GUARD], env=environment, stderr=subprocess.DEVNULL)
        while True:
            try:
                return self.connect().close()
            except ConnectionRefusedError:
                time.sleep(0.01)

    def connect(self):
        return socket.create_connection(self.address, timeout=30)

    def end(self):
        self.process.terminate()
        self.process.wait()


def ask(connection):
    connection.sendall(REQUEST)
    assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def longest_wait(count):
    """Of `count` connections at once, from the first SYN to the last answer, in seconds."""
    guard = Guard()
    selector, start, left = selectors.DefaultSelector(), time.perf_counter(), count
    for _ in range(count):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(guard.address)
        selector.register(connection, selectors.EVENT_WRITE)
    while left:
        for key, events in selector.select():
            if events & selectors.EVENT_WRITE:
                key.fileobj.send(REQUEST)
                selector.modify(key.fileobj, selectors.EVENT_READ)
            else:
                assert key.fileobj.recv(4096).startswith(b"HTTP/1.1 200 ")
                selector.unregister(key.fileobj)
                key.fileobj.close()
                left -= 1
    taken = time.perf_counter() - start
    guard.end()
    return taken


def beside_pipeliners():
    """p99 of a quiet client, in seconds. wrk is the crowd: it takes less of the processor
    than a client in Python would take from the guard and from the one that measures."""
    guard = Guard(WORKERS="2")
    quiet = guard.connect()
    ask(quiet)
    address = "http://%s:%d/protected" % guard.address
    crowd = subprocess.Popen(
        ["wrk", "-t1", f"-c{PIPELINERS}", "-d60s", "-s", ROOT / "tests" / "bench" / "pipeline.lua",
         "-H", f"X-Shared-Secret: {SECRET}", address],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(1)
    waits = []
    for _ in range(ASKED):
        start = time.perf_counter()
        ask(quiet)
        waits.append(time.perf_counter() - start)
        time.sleep(0.002)
    crowd.terminate()
    crowd.wait()
    guard.end()
    return sorted(waits)[ASKED * 99 // 100]


def main():
    bars = [
        (f"{count} connections at once, all answered after", longest_wait(count), 1.0)
        for count in (200, 1000)
    ]
    bars.append((f"p99 of a quiet client beside {PIPELINERS} that pipeline", beside_pipeliners(), 0.010))
    print("| | measured | bar | |\n| --- | ---: | --- | --- |")
    for what, taken, most in bars:
        verdict = "met" if taken < most else "**missed**"
        print(f"| {what} | {taken * 1000:.1f} ms | under {most * 1000:.0f} ms | {verdict} |")


if __name__ == "__main__":
    main()
