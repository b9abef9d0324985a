"""What the benchmarks have in common: servers, wrk, paired rounds, tables.

Everything runs on loopback, and what is started is ended by its pid.
"""

import contextlib
import http.client
import os
import platform
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = ROOT / "target" / "bench"
GUARD = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else ROOT / "target" / "dist" / "origin-guard"
SECRET = "benchmark-secret-0123456789abcdef"
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 2
TICKS = os.sysconf("SC_CLK_TCK")
OURS = "origin-guard"
RATE, P50, P99, CPU = range(4)
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
# Who measures a certificate of a minute ago does not verify it.
ANYBODY = ssl.create_default_context()
ANYBODY.check_hostname = False
ANYBODY.verify_mode = ssl.CERT_NONE


def rounds(usual):
    return int(os.environ.get("ROUNDS", usual))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def missing(what, remedy):
    print(f"LEFT OUT: {what}; {remedy}", flush=True)


def installed(program):
    return shutil.which(program) or shutil.which(f"/usr/sbin/{program}")


def ask(port, secret=SECRET, path="/protected", tls=False, fields=None):
    """The status and the body of one answer."""
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = kind("127.0.0.1", port, timeout=10, **({"context": ANYBODY} if tls else {}))
    connection.request("GET", path, headers=fields or {"X-Shared-Secret": secret})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


class Processes:
    """Processes that serve at one port."""

    def __init__(self, name, folder):
        self.name, self.port, self.tls = name, free_port(), False
        self.folder, self.processes = folder, []

    def start(self, command, environment):
        self.processes.append(subprocess.Popen(
            command, env={"PATH": os.environ["PATH"]} | environment, cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ))

    def wait_until(self, is_so):
        """Waits until `is_so` does not say OSError."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return is_so()
            except (OSError, http.client.HTTPException):
                ended = any(process.poll() is not None for process in self.processes)
                if ended or time.monotonic() > deadline:
                    raise SystemExit(f"{self.name} does not serve") from None
                time.sleep(0.01)

    def pids(self):
        pids = [process.pid for process in self.processes]
        for pid in pids:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            pids += map(int, children.split())
        return pids

    def cpu(self):
        """Seconds of user and system time so far."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def resident_kib(self):
        text = Path(f"/proc/{self.processes[0].pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    def end(self):
        for process in self.processes:
            process.terminate()
            process.wait()


class Server(Processes):
    """A server under test. @PORT@, @SECRET@, @SOCKET@ and the names of `values` are filled in
    in its commands, their environments and its files."""

    def __init__(self, name, folder, commands, files=(), values=None, tls=False, check=None):
        super().__init__(name, folder / name.replace(" ", "-").replace("/", "-"))
        self.tls = tls
        self.folder.mkdir()
        self.folder.chmod(0o755)
        guard = self.folder / "guard.sock"
        values = {"PORT": self.port, "SECRET": SECRET, "SOCKET": guard} | (values or {})
        def fill(text):
            for key, value in values.items():
                text = str(text).replace(f"@{key}@", str(value))
            return text
        for file, text in files:
            (self.folder / file).write_text(fill(text))
        for command, environment in commands:
            environment = {key: fill(value) for key, value in environment.items()}
            self.start([fill(word) for word in command], environment | {"PORT": str(self.port)})
            if f"unix:{guard}" in environment.values():
                # nginx's workers are another user's.
                self.wait_until(lambda: guard.chmod(0o666))
        self.wait_until(lambda: check(self) if check else ask(self.port, tls=tls))


@contextlib.contextmanager
def servers():
    """A folder, and what takes note of a server, or of None, and returns it; all of them are
    ended."""
    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name), []
        folder.chmod(0o755)
        def start(server):
            started.extend([server] if server else [])
            return server
        try:
            yield folder, start
        finally:
            for server in started:
                server.end()


def checks_secret(server):
    """The same answers as everyone, or its numbers would mean nothing."""
    status, body = ask(server.port, tls=server.tls)
    assert status == 200 and b"Access granted" in body, (server.name, status, body)
    assert ask(server.port, "wrong", tls=server.tls)[0] == 401, server.name
    assert ask(server.port, "", tls=server.tls)[0] == 401, server.name


def guard(name, folder, check=checks_secret, values=None, tls=False, **environment):
    environment = {
        "SHARED_SECRET": SECRET, "LISTEN": "127.0.0.1:@PORT@", "WORKERS": "2", "PLAINTEXT": "allow",
    } | environment
    commands = [([GUARD], environment)]
    return Server(name, folder, commands, values=values, tls=tls, check=check)


def backend(kind, folder):
    """A backend that answers anybody: `floor` with fixed bytes, `bodies` with large ones."""
    body = '{"message":"Access granted"}'
    response = ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}")
    command = [BUILT / "release" / kind]
    return Server(kind, folder, [(command, {"RESPONSE_FILE": "response"})], [("response", response)])


def build():
    """Builds the peers that are programs of ours."""
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--manifest-path", HERE / "peers" / "Cargo.toml",
         "--target-dir", BUILT],
        check=True,
    )


def wrk(server, connections, seconds=SECONDS, path="/protected", script=None,
        fields=(f"X-Shared-Secret: {SECRET}",)):
    """Requests a second, p50 and p99 in seconds, and seconds of CPU for each request."""
    before = server.cpu()
    headers = [word for field in fields for word in ("-H", field)]
    scheme = "https" if server.tls else "http"
    output = subprocess.run(
        ["wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "--latency",
         *(["-s", script] if script else []), *headers, f"{scheme}://127.0.0.1:{server.port}{path}"],
        check=True, capture_output=True, text=True,
    ).stdout
    used = server.cpu() - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"{server.name} failed good requests:\n{output}")
    percentile = lambda number: next(
        float(value) * UNITS[unit]
        for value, unit in re.findall(rf"\s{number}%\s+([\d.]+)(us|ms|s)\b", output)
    )
    requests = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    return rate, percentile(50), percentile(99), used / max(1, requests)


def paired(ours, peers, counts, turns, **options):
    """results[connections][name] is a list of pairs, one a round: ours and the peer's. The two
    run one right behind the other, because a shared machine changes from second to second."""
    results = {count: {peer.name: [] for peer in peers} for count in counts}
    for server in [ours, *peers]:
        wrk(server, counts[0], seconds=1, **options)
    for count in counts:
        for turn in range(turns):
            for number, peer in enumerate(peers):
                pair = [ours, peer] if (turn + number) % 2 == 0 else [peer, ours]
                runs = {server.name: wrk(server, count, **options) for server in pair}
                results[count][peer.name].append((runs[ours.name], runs[peer.name]))
            progress(f"{count} connections", turn, turns)
    return results


def progress(what, turn, turns):
    print(f"  {what}, round {turn + 1} of {turns}", file=sys.stderr, flush=True)


def ratio(results, count, name, column):
    return statistics.median(mine[column] / theirs[column] for mine, theirs in results[count][name])


def added(results, count, name):
    """The seconds that are added to the median latency of a peer."""
    return statistics.median(mine[P50] - its[P50] for mine, its in results[count][name])


def first_answer(**environment):
    """From exec to the end of the first 200, in seconds."""
    def once():
        port = free_port()
        variables = {"SHARED_SECRET": SECRET, "LISTEN": f"127.0.0.1:{port}"} | environment
        request = f"GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
        start = time.perf_counter()
        process = subprocess.Popen([GUARD], env=variables, stderr=subprocess.DEVNULL)
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


def memory(server, count):
    """MiB at rest, and with idle clients that have each had an answer."""
    rest = server.resident_kib()
    request = f"GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
    idle = connect_many(server.port, count, request)
    for connection in idle:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    full = server.resident_kib()
    for connection in idle:
        connection.close()
    return rest / 1024, full / 1024


def processor():
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", text)
    return model[1].strip() if model else platform.machine()


def need(*programs):
    for program, remedy in programs:
        if not shutil.which(program):
            raise SystemExit(f"needs {program}: {remedy}")


WRK = ("wrk", "apt install wrk")
CARGO = ("cargo", "install a Rust toolchain")


def machine(turns):
    return (f"{os.cpu_count()} cores, {processor()}, Linux {platform.release()}; "
            f"{turns} rounds of {SECONDS} s")


class Bars:
    """What was measured beside what is wanted."""

    def __init__(self):
        self.rows = []

    def add(self, what, value, is_met, wanted):
        self.rows.append((what, value, wanted, "met" if is_met else "**missed**"))

    def at_least(self, what, value, wanted, digits=2):
        self.add(what, f"{value:.{digits}f}", value >= wanted, f"at least {wanted}")

    def at_most(self, what, value, wanted, digits=2):
        self.add(what, f"{value:.{digits}f}", value <= wanted, f"at most {wanted}")

    def show(self):
        print("| | measured | bar | |\n| --- | ---: | --- | --- |")
        for row in self.rows:
            print("| " + " | ".join(row) + " |")
