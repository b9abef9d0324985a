"""Holds origin-guard against its peers, side by side, and prints tables of ratios.

usage: run.py [SECONDS]   SECONDS of each run of wrk, 2 unless given

Each peer is paired with a run of origin-guard right beside its own, before it in one
round and after it in the next, because a shared machine changes from second to second;
a ratio is that of one pair, and what is printed is the median.
Everything runs on loopback, and ends by pid.
"""

import os
import shutil
import socket
import statistics
import subprocess
import tempfile
from pathlib import Path

from common import (
    BUILT, CARGO, GUARD, HERE, OURS, P50, P99, RATE, SECRET, WRK, Bars, Server, build, checks_secret,
    connect_many, first_answer, free_port, guard, installed, machine, memory, missing, need,
    paired, progress, raise_file_limit, ratio, rounds, wrk,
)

ROUNDS = rounds(5)
CONNECTIONS = (2, 32, 128)
ROTATING = "itself with two secrets and metrics"
IDLE = 10_000
HOSTILE = 4_000


def commands():
    """How to start each peer that can be had; those that are programs of ours are built."""
    build()
    binary = lambda name: [BUILT / "release" / name]
    peers = {"floor": binary("floor"), "axum": binary("axum"), "tiny_http::Server": binary("tiny_http")}
    if shutil.which("go"):
        environment = os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GO111MODULE": "on"}
        subprocess.run(["go", "build", "-o", BUILT / "go-peer", "."], cwd=HERE / "go", env=environment, check=True)
        peers["Go net/http"] = [BUILT / "go-peer"]
    else:
        missing("Go net/http", "apt install golang-go")
    nginx = installed("nginx")
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


def peer(name, command, folder, response):
    files = []
    if name == "nginx":
        text = (HERE / "nginx.conf").read_text()
        files = [("nginx.conf", text.replace("@LISTEN@", "reuseport").replace("@TLS@", ""))]
    environment = {"SHARED_SECRET": SECRET, "RESPONSE_FILE": str(response)}
    check = None if name == "floor" else checks_secret
    return Server(name, folder, [(command, environment)], files, check=check)


def under_attack(folder):
    """p99 with hostile connections open, over the quiet p99 of the same round."""
    server = guard("attacked", folder, HEAD_TIMEOUT="600")
    ratios = []
    for turn in range(ROUNDS):
        quiet = wrk(server, 32)[P99]
        hostile = connect_many(server.port, HOSTILE // 2, b"")
        hostile += connect_many(server.port, HOSTILE // 2, b"GET /protected HTTP/1.1\r\nHost: x\r\nX-")
        loud = wrk(server, 32)[P99]
        ratios.append(loud / quiet)
        for connection in hostile:
            connection.close()
        progress("hostile connections", turn, ROUNDS)
    server.end()
    return statistics.median(ratios)


def main():
    need(WRK, CARGO)
    raise_file_limit()
    started = commands()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        ours = guard(OURS, folder)
        with socket.create_connection(("127.0.0.1", ours.port)) as connection:
            connection.sendall(f"GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode())
            response = folder / "response"
            response.write_bytes(connection.recv(65536))
        peers = [peer(name, command, folder, response) for name, command in started.items()]
        peers.append(guard(ROTATING, folder, SHARED_SECRET_PREVIOUS="previous-" + SECRET,
                           ADMIN_LISTEN=f"127.0.0.1:{free_port()}"))
        results = paired(ours, peers, CONNECTIONS, ROUNDS)
        for server in [ours, *peers]:
            server.end()
        idle = guard("memory", folder)
        rest, full = memory(idle, IDLE)
        idle.end()
        start, attack = first_answer(), under_attack(folder)
    report(results, [server.name for server in peers], rest, full, start, attack)


def report(results, peers, rest, full, start, attack):
    size = GUARD.stat().st_size / 1e6
    print(f"\n{machine(ROUNDS)}\n")
    print("| origin-guard against | " + " | ".join(f"throughput, {c} | p50 | p99" for c in CONNECTIONS) + " |")
    print("| --- |" + " ---: |" * (3 * len(CONNECTIONS)))
    for name in peers:
        cells = [f"{ratio(results, count, name, column):.2f}" for count in CONNECTIONS for column in (RATE, P50, P99)]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nThroughput: more than 1 is faster. p50 and p99: less than 1 is sooner.\n")
    bars = Bars()
    bars.add("memory at rest", f"{rest:.1f} MiB", rest < 4, "under 4 MB")
    bars.add(f"memory with {IDLE} idle connections", f"{full:.1f} MiB", full < 40, "under 40 MB")
    bars.add("size of the static binary", f"{size:.2f} MB", size < 4, "under 4 MB")
    bars.add("exec to the first 200", f"{start * 1000:.1f} ms", start < 0.010, "under 10 ms")
    bars.at_most(f"p99 with {HOSTILE} hostile connections / quiet", attack, 3)
    def bar(name, count, column, least=None, most=None):
        if name in peers:
            value = ratio(results, count, name, column)
            what = f"{('throughput', 'p50', 'p99')[column]} / {name}, {count} connections"
            bars.at_least(what, value, least) if least else bars.at_most(what, value, most)
    for count in CONNECTIONS[1:]:
        bar("nginx", count, RATE, least=1.0)
        bar("axum", count, RATE, least=1.1)
        bar("nginx", count, P99, most=1.0)
        bar("axum", count, P99, most=1.0)
        bar("Tornado", count, RATE, least=15)
        bar("floor", count, RATE, least=0.85)
    bar("axum", 2, P50, most=1.0)
    for count in CONNECTIONS[1:]:
        bar(ROTATING, count, RATE, most=1.03)
    bars.show()


if __name__ == "__main__":
    main()
