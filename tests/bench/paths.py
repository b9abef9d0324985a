"""Long paths and slow peers: what a relay must carry that loopback does not show.

usage: paths.py [BINARY]   target/dist/origin-guard unless given; needs root, ip(8) and curl

The server has a network namespace of its own, the client another one. Between them lies a
pair of TUN devices, and a process that hands each packet on DELAY seconds later: a path of
100 ms there and back, with TCP's windows as they are on such a path. Everything ends by pid.
"""

import collections
import ctypes
import fcntl
import os
import re
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GUARD = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/dist/origin-guard").resolve()
SECRET = "benchmark-secret-0123456789abcdef"
NEAR, FAR = "10.77.0.1", "10.77.0.2"
DELAY = 0.05
BYTES = 200_000_000
ROUNDS = int(os.environ.get("ROUNDS", "5"))
# A reader that stops for that long, and one that takes so many bytes a second of so many.
PAUSE = 45
SLOW_RATE, SLOW_BYTES = 50_000, 4_000_000
PEERS = 1000
LIBC = ctypes.CDLL(None, use_errno=True)


def own_namespace():
    """Starts this script again in a network namespace of its own."""
    if os.environ.get("PATHS_INSIDE") != "1":
        if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip", "curl", "nsenter"))):
            print("LEFT OUT: long paths; run as root, and apt install iproute2 curl util-linux")
            raise SystemExit(0)
        os.environ["PATHS_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, __file__, *sys.argv[1:]])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def tun(name, address):
    """A TUN device of the current namespace (tun(4)); its packets are read and written."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    set_interface, is_tun, without_header = 0x400454CA, 0x0001, 0x1000
    fcntl.ioctl(descriptor, set_interface, struct.pack("16sH14x", name.encode(), is_tun | without_header))
    for command in (f"link set {name} mtu 9000 txqueuelen 10000 up", f"addr add {address}/24 dev {name}"):
        subprocess.run(["ip", *command.split()], check=True)
    return descriptor


def carry(near, far):
    """Hands packets on, each DELAY after it came. Does not return."""
    under_way = {near: collections.deque(), far: collections.deque()}
    other = {near: far, far: near}
    while True:
        now = time.monotonic()
        for source, packets in under_way.items():
            while packets and packets[0][0] <= now:
                os.write(other[source], packets.popleft()[1])
        first = min((packets[0][0] for packets in under_way.values() if packets), default=now + 1)
        ready, _, _ = select.select([near, far], [], [], max(0, first - time.monotonic()))
        for source in ready:
            for _ in range(64):
                under_way[source].append((time.monotonic() + DELAY, os.read(source, 9000)))
                if not select.select([source], [], [], 0)[0]:
                    break


class Path100:
    """The path, and the namespace at its far end."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        here, there = Path("/proc/self/ns/net"), Path(f"/proc/{self.holder.pid}/ns/net")
        while here.readlink() == there.readlink():
            time.sleep(0.01)
        near = tun("near", NEAR)
        with open(here) as own, open(there) as other:
            assert LIBC.setns(other.fileno(), 0) == 0
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            far = tun("far", FAR)
            assert LIBC.setns(own.fileno(), 0) == 0
        self.enter = ["nsenter", f"--net={there}"]
        self.carrier = os.fork()
        if self.carrier == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            carry(near, far)
        os.close(near)
        os.close(far)

    def run(self, *command):
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True).stdout

    def end(self):
        os.kill(self.carrier, signal.SIGTERM)
        os.waitpid(self.carrier, 0)
        self.holder.kill()
        self.holder.wait()


def backend():
    """A process that answers `GET /N` with N bytes, and reads other bodies to their end."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listener.getsockname()[1]
    pid = os.fork()
    if pid:
        listener.close()
        return pid, port
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    block = b"x" * 1_000_000

    def serve(connection):
        reader = connection.makefile("rb", buffering=1 << 18)
        while line := reader.readline():
            length = 0
            while (field := reader.readline()) not in (b"\r\n", b""):
                if field.lower().startswith(b"content-length:"):
                    length = int(field.split(b":")[1])
            while length > 0:
                length -= len(reader.read(min(length, 1 << 18))) or length
            wanted = int(line.split()[1][1:] or 2) if line.startswith(b"GET ") else 2
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % wanted)
            while wanted > 0:
                connection.sendall(block[:wanted])
                wanted -= min(wanted, len(block))

    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def quietly(connection=connection):
            try:
                serve(connection)
            except OSError:
                pass  # The client has gone.
            finally:
                connection.close()

        threading.Thread(target=quietly, daemon=True).start()


def listening(port, process):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except ConnectionRefusedError:
            if process.poll() is not None:
                raise SystemExit("a server does not start")
            time.sleep(0.01)


def guard(folder, backend_port, port=8001, **environment):
    environment |= {"SHARED_SECRET": SECRET, "LISTEN": f"0.0.0.0:{port}", "PLAINTEXT": "allow",
                    "BACKEND": f"http://127.0.0.1:{backend_port}", "WORKERS": "2"}
    process = subprocess.Popen([GUARD], env=environment, cwd=folder, stderr=subprocess.DEVNULL)
    listening(port, process)
    return process


def nginx(folder, backend_port, port=8002):
    binary = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if not binary:
        raise SystemExit("nginx is missing; apt install nginx-light")
    check = (f"""if ($http_x_shared_secret != "{SECRET}") {{ return 401; }}""")
    text = (HERE / "relay.nginx.conf").read_text().replace("@CHECK@", check)
    text = text.replace("127.0.0.1:@PORT@ @LISTEN@", f"0.0.0.0:{port}").replace("@TLS@", "")
    text = text.replace("@BACKEND_PORT@", str(backend_port))
    text = text.replace("@SOCKET@", str(folder / "no.sock"))
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen([binary, "-p", ".", "-c", "nginx.conf"], cwd=folder,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listening(port, process)
    return process


def transfer(path, port, upload=None):
    """Seconds that curl at the far end takes."""
    url = f"http://{NEAR}:{port}/" + ("" if upload else str(BYTES))
    body = ["-T", upload, "-H", "Expect:"] if upload else []
    said = path.run("curl", "-sS", "--fail", "-o", "/dev/null", "-H", f"X-Shared-Secret: {SECRET}",
                    *body, "-w", "%{time_total} %{size_download}", url).split()
    assert upload or int(said[1]) == BYTES, said
    return float(said[0])


# A client at the far end: it reads at its own pace, and says how many bytes of a body came.
READER = """
import socket, sys, time
address, port, count, secret, rate, pause = sys.argv[1:]
connection = socket.create_connection((address, int(port)), timeout=120)
connection.sendall(f"GET /{count} HTTP/1.1\\r\\nHost: x\\r\\nX-Shared-Secret: {secret}\\r\\n\\r\\n".encode())
came = b""
while b"\\r\\n\\r\\n" not in came:
    came += connection.recv(1024)
assert came.startswith(b"HTTP/1.1 200 "), came
bytes_, began, paused = len(came.split(b"\\r\\n\\r\\n", 1)[1]), time.monotonic(), False
while bytes_ < int(count):
    piece = connection.recv(min(65536, int(float(rate) / 10) or 65536))
    if not piece:
        break
    bytes_ += len(piece)
    if float(pause) and not paused and bytes_ > 1_000_000:
        paused = True
        time.sleep(float(pause))
    if float(rate):
        time.sleep(max(0, began + bytes_ / float(rate) - time.monotonic()))
print(bytes_)
"""


def readers(path, port):
    """Bytes that the paused reader and the slow one get of their files."""
    start = lambda *last: subprocess.Popen(
        [*path.enter, sys.executable, "-c", READER, NEAR, str(port), *map(str, last)],
        stdout=subprocess.PIPE, text=True)
    paused = start(50_000_000, SECRET, 0, PAUSE)
    slow = start(SLOW_BYTES, SECRET, SLOW_RATE, 0)
    return int(paused.communicate()[0] or 0), int(slow.communicate()[0] or 0)


def waits(port, count=2000):
    """The p99 of requests one after the other, in seconds."""
    request = f"GET /2 HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        for _ in range(count):
            began = time.perf_counter()
            connection.sendall(request)
            came = b""
            while not came.endswith(b"xx"):
                came += connection.recv(1024)
            times.append(time.perf_counter() - began)
    return statistics.quantiles(times, n=100)[98]


def slow_peers(port):
    """Half of them read, and half write a body, a byte a second each."""
    said = [f"GET /1000000 HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode(),
            f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()]
    peers = []
    for number in range(PEERS):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", port))
        peer.sendall(said[number % 2])
        peers.append(peer)
    # A process of its own, so that it does not hold up the one that measures.
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            for number, peer in enumerate(peers):
                if number % 2:
                    peer.send(b"x")
                else:
                    peer.recv(1)
                time.sleep(1 / PEERS)

    def end():
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        for peer in peers:
            peer.close()

    return end


def newcomer(folder, backend_port):
    """How long a newcomer waits at an inherited socket while the process before drains, with
    a download that goes on; and DRAIN_TIMEOUT, both in seconds."""
    drain = 3
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listener.getsockname()[1]
    environment = {"SHARED_SECRET": SECRET, "BACKEND": f"http://127.0.0.1:{backend_port}",
                   "LISTEN_FDS": "1", "DRAIN_TIMEOUT": str(drain)}

    def start():
        # The socket is descriptor 3, and LISTEN_PID is the pid (sd_listen_fds(3)).
        line = f'LISTEN_PID=$$ exec "$0" 3<&{listener.fileno()}'
        return subprocess.Popen(["sh", "-c", line, GUARD], env=environment, cwd=folder,
                                pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)

    process = start()
    client = lambda: socket.create_connection(("127.0.0.1", port), timeout=60)
    ask = f"GET /2 HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
    with client() as connection:
        connection.sendall(ask)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    download = client()
    download.sendall(ask.replace(b"/2 ", b"/1000000000 "))
    download.recv(1000)
    process.send_signal(signal.SIGTERM)
    # It takes no more connections once it has heard of the signal.
    time.sleep(0.3)
    began = time.monotonic()
    with client() as connection:
        connection.sendall(ask)
        process.wait()
        process = start()
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        waited = time.monotonic() - began
    download.close()
    process.terminate()
    process.wait()
    listener.close()
    return waited, drain


def main():
    own_namespace()
    bars = []

    def bar(what, value, good, wanted):
        bars.append(f"| {what} | {value} | {wanted} | {'met' if good else '**missed**'} |")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        upload = folder / "upload"
        upload.write_bytes(b"x" * BYTES)
        path, (backend_pid, backend_port) = Path100(), backend()
        processes = []
        try:
            processes.append(guard(folder, backend_port))
            processes.append(nginx(folder, backend_port))
            for what, body in (("down", None), ("up", str(upload))):
                ratios, took = [], ([], [])
                for turn in range(ROUNDS):
                    order = (8001, 8002) if turn % 2 == 0 else (8002, 8001)
                    seconds = {port: transfer(path, port, body) for port in order}
                    ratios.append(seconds[8002] / seconds[8001])
                    for times, port in zip(took, (8001, 8002)):
                        times.append(seconds[port])
                    print(f"  200 MB {what}, round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
                ratio, (own, its) = statistics.median(ratios), map(statistics.median, took)
                bar(f"200 MB {what} over 100 ms / nginx ({own:.1f} s, nginx {its:.1f} s)",
                    f"{ratio:.2f}", ratio >= 0.9, "at least 0.9")
            paused, slow = readers(path, 8001)
            bar(f"a reader that pauses for {PAUSE} s", f"{paused} bytes", paused == 50_000_000, "its whole file")
            bar(f"a reader of {SLOW_RATE // 1000} kB/s", f"{slow} bytes", slow == SLOW_BYTES, "its whole file")
            quiet = statistics.median(waits(8001) for _ in range(3))
            end = slow_peers(8001)
            beside = statistics.median(waits(8001) for _ in range(3))
            end()
            bar(f"p99 beside {PEERS} peers of a byte a second ({quiet * 1e6:.0f} us alone)",
                f"{beside * 1e6:.0f} us", beside < 3 * quiet, "within 3x")
            waited, drain = newcomer(folder, backend_port)
            bar(f"a newcomer's wait while a download drains for {drain} s", f"{waited:.1f} s",
                waited < drain + 1, "DRAIN_TIMEOUT")
        finally:
            for process in processes:
                process.terminate()
                process.wait()
            os.kill(backend_pid, signal.SIGTERM)
            os.waitpid(backend_pid, 0)
            path.end()
    print("| | measured | bar | |\n| --- | ---: | --- | --- |")
    print("\n".join(bars))


if __name__ == "__main__":
    main()
