"""Holds the relay (BACKEND=...) against its peers, side by side, in front of one backend.

usage: relay.py [SECONDS [BINARY]]   SECONDS of each run of wrk, 2 unless given

As in run.py, each peer is paired with a run of origin-guard right beside its own, before it
in one round and after it in the next, and what is printed is the median of the rounds'
ratios. CPU is user and system time of all processes of a server (/proc/PID/stat) for each
request that it has answered. Everything runs on loopback, and ends by pid.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import run
from run import BUILT, HERE, SECRET, UNITS, ask, connect_many, free_port, missing, processor, ratio

SECONDS = run.SECONDS
GUARD = Path(sys.argv[2]) if len(sys.argv) > 2 else run.GUARD
ROUNDS = int(os.environ.get("ROUNDS", "7"))
TICKS = os.sysconf("SC_CLK_TCK")
IDLE = 1000
OURS = "origin-guard"
RATE, P50, P99, CPU = range(4)


class Server:
    """Processes that serve at one port, ended by their pids."""

    def __init__(self, name, folder, backend_port, commands, files=(), checks=True):
        self.name, self.checks, self.port = name, checks, free_port()
        self.folder = folder / name.replace(" ", "-").replace("/", "-")
        self.folder.mkdir()
        self.folder.chmod(0o755)
        values = {
            "PORT": self.port,
            "BACKEND_PORT": backend_port,
            "SECRET": SECRET,
            "SOCKET": self.folder / "guard.sock",
        }
        def fill(text):
            for key, value in values.items():
                text = str(text).replace(f"@{key}@", str(value))
            return text
        for file, text in files:
            (self.folder / file).write_text(fill(text))
        self.processes = []
        for command, environment in commands:
            environment = {key: fill(value) for key, value in environment.items()}
            environment |= {"PATH": os.environ["PATH"], "PORT": str(self.port)}
            self.processes.append(subprocess.Popen(
                [fill(word) for word in command], env=environment, cwd=self.folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ))
            time.sleep(0.2)
        socket = values["SOCKET"]
        if socket.exists():
            # nginx's workers are another user's.
            socket.chmod(0o666)
        deadline = time.monotonic() + 20
        while True:
            try:
                status, _ = ask(self.port)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{name} does not serve")
                time.sleep(0.01)
        # The same answers as everyone, or its numbers would mean nothing.
        assert status == 200, (name, status)
        denied = 401 if checks else 200
        assert ask(self.port, "wrong")[0] == denied and ask(self.port, "")[0] == denied, name

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


def guard(name, folder, backend_port, **environment):
    environment |= {
        "SHARED_SECRET": SECRET,
        "LISTEN": "127.0.0.1:@PORT@",
        "BACKEND": "http://127.0.0.1:@BACKEND_PORT@",
        "WORKERS": "2",
    }
    # As the unit starts it (CPUSchedulingPolicy=batch).
    return Server(name, folder, backend_port, [(["chrt", "--batch", "0", GUARD], environment)])


def nginx(name, folder, backend_port, asks=False):
    binary = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if not binary:
        return missing(name, "apt install nginx-light")
    check = "auth_request /_guard;" if asks else (
        """if ($http_x_shared_secret = "") { return 401 '{"error":"No secret provided"}'; }\n"""
        """if ($http_x_shared_secret != "@SECRET@") { return 401 '{"error":"Invalid secret"}'; }"""
    )
    text = (HERE / "relay.nginx.conf").read_text().replace("@CHECK@", check)
    alone = {"SHARED_SECRET": SECRET, "LISTEN": "unix:@SOCKET@", "WORKERS": "2"}
    first = [(["chrt", "--batch", "0", GUARD], alone)] if asks else []
    commands = [*first, ([binary, "-p", ".", "-c", "nginx.conf"], {})]
    return Server(name, folder, backend_port, commands, [("nginx.conf", text)])


def haproxy(name, folder, backend_port):
    binary = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    if not binary:
        return missing(name, "apt install haproxy")
    text = (HERE / "relay.haproxy.cfg").read_text()
    command = [binary, "-db", "-f", "haproxy.cfg"]
    return Server(name, folder, backend_port, [(command, {})], [("haproxy.cfg", text)])


def bare(name, folder, backend_port):
    command = [BUILT / "release" / "bare_relay"]
    return Server(name, folder, backend_port, [(command, {"BACKEND_PORT": "@BACKEND_PORT@"})],
                  checks=False)


def backend(kind, folder):
    """A backend that answers anybody: `floor` with fixed bytes, `bodies` with large ones."""
    body = '{"message":"Access granted"}'
    response = ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}")
    return Server(kind, folder, 0, [([BUILT / "release" / kind], {"RESPONSE_FILE": "response"})],
                  [("response", response)], checks=False)


def wrk(server, connections, path="/", script=None, seconds=SECONDS):
    """Requests a second, p50 and p99 in seconds, and seconds of CPU for each request."""
    before = server.cpu()
    output = subprocess.run(
        ["wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "--latency",
         *(["-s", script] if script else []),
         "-H", f"X-Shared-Secret: {SECRET}", f"http://127.0.0.1:{server.port}{path}"],
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


def paired(ours, peers, counts, **options):
    """results[connections][name] is a list of pairs, one a round: ours and the peer's."""
    results = {count: {peer.name: [] for peer in peers} for count in counts}
    for server in [ours, *peers]:
        wrk(server, counts[0], seconds=1, **options)
    for count in counts:
        for turn in range(ROUNDS):
            for number, peer in enumerate(peers):
                pair = [ours, peer] if (turn + number) % 2 == 0 else [peer, ours]
                runs = {server.name: wrk(server, count, **options) for server in pair}
                results[count][peer.name].append((runs[ours.name], runs[peer.name]))
            print(f"  {count} connections, round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    return results


def added(results, count, name):
    return statistics.median(mine[P50] - its[P50] for mine, its in results[count][name])


def microseconds(results, count, name, side):
    return statistics.median(pair[side][CPU] for pair in results[count][name]) * 1e6


def first_answer(backend_port):
    """From exec to the end of the first 200 through the relay, in seconds."""
    import socket
    def once():
        port = free_port()
        environment = {"SHARED_SECRET": SECRET, "LISTEN": f"127.0.0.1:{port}",
                       "BACKEND": f"http://127.0.0.1:{backend_port}"}
        request = f"GET / HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
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


def memory(folder, backend_port):
    """MiB at rest, and with idle clients that have each had an answer."""
    server = guard("memory", folder, backend_port)
    rest = server.resident_kib()
    request = f"GET / HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
    idle = connect_many(server.port, IDLE, request)
    for connection in idle:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    full = server.resident_kib()
    for connection in idle:
        connection.close()
    server.end()
    return rest / 1024, full / 1024


def main():
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing; apt install wrk")
    run.raise_file_limit()
    run.build()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        servers = []
        def started(server):
            if server:
                servers.append(server)
            return server
        try:
            small = started(backend("floor", folder))
            ours = started(guard(OURS, folder, small.port))
            peers = [started(peer) for peer in (
                nginx("nginx", folder, small.port),
                haproxy("HAProxy", folder, small.port),
                nginx("nginx with auth_request", folder, small.port, asks=True),
                bare("bare relay", folder, small.port),
            )]
            peers = [peer for peer in peers if peer]
            gets = paired(ours, peers, (32, 128))
            alone = paired(ours, [small], (2,))
            rest, full = memory(folder, small.port)
            first = first_answer(small.port)
            for server in servers:
                server.end()
            servers.clear()
            large = started(backend("bodies", folder))
            ours = started(guard("guard of bodies", folder, large.port))
            other = started(nginx("nginx of bodies", folder, large.port))
            script = folder / "upload.lua"
            script.write_text('wrk.method = "POST"\nwrk.body = string.rep("x", 10000000)\n')
            bodies = [other] if other else []
            down = paired(ours, bodies, (8,))
            up = paired(ours, bodies, (8,), script=script)
        finally:
            for server in servers:
                server.end()
    report(gets, [peer.name for peer in peers], alone, down, up, rest, full, first)


def report(gets, names, alone, down, up, rest, full, first):
    print(f"\n{os.cpu_count()} cores, {processor()}; {ROUNDS} rounds of {SECONDS} s\n")
    counts = list(gets)
    columns = " | ".join(f"throughput, {count} | p50 | p99 | CPU, us | of the peer | ratio"
                         for count in counts)
    print(f"| origin-guard as a relay against | {columns} |\n| --- |" + " ---: |" * (6 * len(counts)))
    for name in names:
        cells = []
        for count in counts:
            cells += [f"{ratio(gets, count, name, column):.2f}" for column in (RATE, P50, P99)]
            cells += [f"{microseconds(gets, count, name, side):.1f}" for side in (0, 1)]
            cells += [f"{ratio(gets, count, name, CPU):.2f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nThroughput: more than 1 is faster. p50, p99, CPU: less than 1 is less.\n")
    bars = []
    def bar(what, value, good, wanted):
        bars.append(f"| {what} | {value} | {wanted} | {'met' if good else '**missed**'} |")
    def least(what, results, count, name, wanted):
        if name in results[count]:
            value = ratio(results, count, name, RATE)
            bar(f"{what}, {count} connections", f"{value:.2f}", value >= wanted, f"at least {wanted}")
    def most(what, count, name, column, wanted):
        if name in gets[count]:
            value = ratio(gets, count, name, column)
            bar(f"{what}, {count} connections", f"{value:.2f}", value <= wanted, f"at most {wanted}")
    for count, wanted in ((32, 1.2), (128, 1.3)):
        least("small GETs / nginx", gets, count, "nginx", wanted)
        most("p99 / nginx", count, "nginx", P99, 1.0)
        most("CPU for a request / nginx", count, "nginx", CPU, 0.75)
        least("small GETs / HAProxy", gets, count, "HAProxy", 1.2)
        least("small GETs / nginx with auth_request to the guard", gets, count, "nginx with auth_request", 1.9)
        least("small GETs / bare relay", gets, count, "bare relay", 0.85)
    value = added(alone, 2, "floor")
    bar("added p50, 2 connections", f"{value * 1e6:.0f} us", value < 60e-6, "under 60 us")
    least("1 MB down / nginx", down, 8, "nginx of bodies", 1.0)
    least("10 MB up / nginx", up, 8, "nginx of bodies", 1.0)
    bar("memory at rest", f"{rest:.1f} MiB", rest < 3, "under 3 MB")
    bar(f"memory with {IDLE} idle connections", f"{full:.1f} MiB", full < 6, "under 6 MB")
    bar("exec to the first 200", f"{first * 1000:.1f} ms", first < 0.010, "under 10 ms")
    print("| | measured | bar | |\n| --- | ---: | --- | --- |")
    print("\n".join(bars))


if __name__ == "__main__":
    main()
