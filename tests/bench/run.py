"""Holds origin-guard against its peers, side by side, and prints tables of ratios.

usage: run.py [SECONDS]   SECONDS of each run of wrk, 2 unless given

Each peer is paired with a run of origin-guard right beside its own, before it in one
round and after it in the next, because a shared machine changes from second to second;
a ratio is that of one pair, and what is printed is the median.
Everything runs on loopback, and ends by pid.
"""

import http.client
import os
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = ROOT / "target" / "bench"
GUARD = ROOT / "target" / "dist" / "origin-guard"
SECRET = "benchmark-secret-0123456789abcdef"
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 2
ROUNDS = 5
CONNECTIONS = (2, 32, 128)
ROTATING = "itself with two secrets and metrics"
IDLE = 10_000
HOSTILE = 4_000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def missing(what, remedy):
    print(f"LEFT OUT: {what}; {remedy}", flush=True)


def ask(port, secret=SECRET):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/protected", headers={"X-Shared-Secret": secret})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


class Server:
    """A server under test, on a port of its own, ended by its pid."""

    def __init__(self, name, command, folder, **environment):
        self.name, self.port = name, free_port()
        fill = lambda text: str(text).replace("@PORT@", str(self.port))
        environment = {key: fill(value) for key, value in environment.items()}
        environment |= {"PATH": os.environ["PATH"], "SHARED_SECRET": SECRET, "PORT": str(self.port)}
        if name == "nginx":
            text = fill((HERE / "nginx.conf").read_text()).replace("@SECRET@", SECRET)
            (folder / "nginx.conf").write_text(text)
        self.process = subprocess.Popen(
            [fill(word) for word in command],
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.wait_until_it_serves()

    def wait_until_it_serves(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                ask(self.port)
                return
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"{self.name} does not serve")

    def verify(self):
        """The same answers as everyone, or its numbers would mean nothing."""
        status, body = ask(self.port)
        assert status == 200 and b"Access granted" in body, (self.name, status, body)
        if self.name != "floor":
            assert ask(self.port, "wrong")[0] == 401, self.name
            assert ask(self.port, "")[0] == 401, self.name

    def resident_kib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def end(self):
        self.process.terminate()
        self.process.wait()


def guard(folder, name="origin-guard", **environment):
    # As the unit starts it (CPUSchedulingPolicy=batch).
    return Server(name, ["chrt", "--batch", "0", GUARD], folder, LISTEN="127.0.0.1:@PORT@", **environment)


def build():
    """Builds what can be built, and returns how to start each peer."""
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--manifest-path", HERE / "peers" / "Cargo.toml",
         "--target-dir", BUILT],
        check=True,
    )
    binary = lambda name: [BUILT / "release" / name]
    peers = {"floor": binary("floor"), "axum": binary("axum"), "tiny_http::Server": binary("tiny_http")}
    if shutil.which("go"):
        environment = os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GO111MODULE": "on"}
        subprocess.run(["go", "build", "-o", BUILT / "go-peer", "."], cwd=HERE / "go", env=environment, check=True)
        peers["Go net/http"] = [BUILT / "go-peer"]
    else:
        missing("Go net/http", "apt install golang-go")
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx:
        peers["nginx"] = [nginx, "-p", ".", "-c", "nginx.conf"]
    else:
        missing("nginx", "apt install nginx-light")
    probe = subprocess.run(["/usr/bin/python3", "-c", "import tornado"], stderr=subprocess.DEVNULL)
    if probe.returncode == 0:
        peers["Tornado"] = ["/usr/bin/python3", HERE / "tornado_origin.py"]
    else:
        missing("Tornado", "apt install python3-tornado")
    return peers


UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def wrk(server, connections, seconds=SECONDS):
    """Requests a second, and the 50th and 99th percentile of the latency in seconds."""
    output = subprocess.run(
        ["wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "--latency",
         "-H", f"X-Shared-Secret: {SECRET}", f"http://127.0.0.1:{server.port}/protected"],
        check=True, capture_output=True, text=True,
    ).stdout
    if "Non-2xx" in output:
        raise SystemExit(f"{server.name} refused good requests:\n{output}")
    percentile = lambda number: next(
        float(value) * UNITS[unit]
        for value, unit in re.findall(rf"\s{number}%\s+([\d.]+)(us|ms|s)\b", output)
    )
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    return rate, percentile(50), percentile(99)


def throughput(ours, peers):
    """results[connections][name] is a list of pairs, one a round: ours and the peer's
    (rate, p50, p99)."""
    results = {count: {peer.name: [] for peer in peers} for count in CONNECTIONS}
    for server in [ours, *peers]:
        wrk(server, 32, 1)
    for count in CONNECTIONS:
        for turn in range(ROUNDS):
            for number, peer in enumerate(peers):
                pair = [ours, peer] if (turn + number) % 2 == 0 else [peer, ours]
                runs = {server.name: wrk(server, count) for server in pair}
                results[count][peer.name].append((runs[ours.name], runs[peer.name]))
            print(f"  {count} connections, round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    return results


def ratio(results, count, name, column):
    return statistics.median(mine[column] / theirs[column] for mine, theirs in results[count][name])


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connect_many(port, count, sent):
    """Connections from several loopback addresses, each of which has sent `sent`."""
    connections = []
    for number in range(count):
        connection = socket.socket()
        connection.bind((f"127.0.1.{1 + number % 8}", 0))
        connection.connect(("127.0.0.1", port))
        connection.sendall(sent)
        connections.append(connection)
    return connections


def memory(folder):
    server = guard(folder)
    rest = server.resident_kib()
    request = f"GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
    idle = connect_many(server.port, IDLE, request)
    for connection in idle:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    full = server.resident_kib()
    for connection in idle:
        connection.close()
    server.end()
    return rest / 1024, full / 1024


def first_answer():
    """From exec to the end of the first 200, in seconds."""
    def once():
        port = free_port()
        environment = {"SHARED_SECRET": SECRET, "LISTEN": f"127.0.0.1:{port}"}
        request = f"GET /protected HTTP/1.0\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
        start = time.perf_counter()
        process = subprocess.Popen([GUARD], env=environment, stderr=subprocess.DEVNULL)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(request)
                    assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
                    break
            except ConnectionRefusedError:
                continue
        taken = time.perf_counter() - start
        process.terminate()
        process.wait()
        return taken
    return statistics.median(once() for _ in range(20))


def under_attack(folder):
    """p99 with hostile connections open, over the quiet p99 of the same round."""
    server = guard(folder, HEAD_TIMEOUT=600)
    ratios = []
    for _ in range(ROUNDS):
        _, _, quiet = wrk(server, 32)
        hostile = connect_many(server.port, HOSTILE // 2, b"")
        hostile += connect_many(server.port, HOSTILE // 2, b"GET /protected HTTP/1.1\r\nHost: x\r\nX-")
        _, _, loud = wrk(server, 32)
        ratios.append(loud / quiet)
        for connection in hostile:
            connection.close()
    server.end()
    return statistics.median(ratios)


def processor():
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", text)
    return model[1].strip() if model else platform.machine()


def main():
    for tool, remedy in (("wrk", "apt install wrk"), ("cargo", "install a Rust toolchain")):
        if not shutil.which(tool):
            raise SystemExit(f"needs {tool}: {remedy}")
    raise_file_limit()
    peers = build()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = guard(folder)
        with socket.create_connection(("127.0.0.1", ours.port)) as connection:
            connection.sendall(f"GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode())
            (folder / "response").write_bytes(connection.recv(65536))
        others = [
            Server(name, command, folder, RESPONSE_FILE=folder / "response") for name, command in peers.items()
        ]
        others.append(guard(folder, ROTATING, SHARED_SECRET_PREVIOUS="previous-" + SECRET,
                            ADMIN_LISTEN=f"127.0.0.1:{free_port()}"))
        peers[ROTATING] = None
        for server in [ours, *others]:
            server.verify()
        results = throughput(ours, others)
        for server in [ours, *others]:
            server.end()
        rest, full = memory(folder)
        start, attack = first_answer(), under_attack(folder)
    report(results, list(peers), rest, full, start, attack)


def report(results, peers, rest, full, start, attack):
    size = GUARD.stat().st_size / 1e6
    print(f"\n{os.cpu_count()} cores, {processor()}, Linux {platform.release()}; "
          f"{ROUNDS} rounds of {SECONDS} s\n")
    print("| origin-guard against | " + " | ".join(f"throughput, {c} | p50 | p99" for c in CONNECTIONS) + " |")
    print("| --- |" + " ---: |" * (3 * len(CONNECTIONS)))
    for name in peers:
        cells = [f"{ratio(results, count, name, column):.2f}" for count in CONNECTIONS for column in range(3)]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nThroughput: more than 1 is faster. p50 and p99: less than 1 is sooner.\n")
    bars = [
        ("memory at rest", f"{rest:.1f} MiB", rest < 4, "under 4 MB"),
        (f"memory with {IDLE} idle connections", f"{full:.1f} MiB", full < 40, "under 40 MB"),
        ("size of the static binary", f"{size:.2f} MB", size < 2, "under 2 MB"),
        ("exec to the first 200", f"{start * 1000:.1f} ms", start < 0.010, "under 10 ms"),
        (f"p99 with {HOSTILE} hostile connections / quiet", f"{attack:.2f}", attack <= 3, "at most 3"),
    ]
    def bar(name, count, column, least=None, most=None):
        if name in peers:
            value = ratio(results, count, name, column)
            good = value >= least if least else value <= most
            what = ("throughput", "p50", "p99")[column]
            wanted = f"at least {least}" if least else f"at most {most}"
            bars.append((f"{what} / {name}, {count} connections", f"{value:.2f}", good, wanted))
    for count in CONNECTIONS[1:]:
        bar("nginx", count, 0, least=1.0)
        bar("axum", count, 0, least=1.1)
        bar("nginx", count, 2, most=1.0)
        bar("axum", count, 2, most=1.0)
        bar("Tornado", count, 0, least=15)
        bar("floor", count, 0, least=0.85)
    bar("axum", 2, 1, most=1.0)
    for count in CONNECTIONS[1:]:
        bar(ROTATING, count, 0, most=1.03)
    print("| | measured | bar | |\n| --- | ---: | --- | --- |")
    for what, value, good, wanted in bars:
        print(f"| {what} | {value} | {wanted} | {'met' if good else '**missed**'} |")


if __name__ == "__main__":
    main()
