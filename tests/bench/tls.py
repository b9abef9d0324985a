"""Holds TLS 1.3 against nginx: keep-alive, handshakes, bodies, memory, and a flood of
handshakes.

usage: tls.py [SECONDS [BINARY]]   SECONDS of each run, 2 unless given

The certificate is an ECDSA one on P-256. The clients are wrk and Python's ssl, both on OpenSSL.
Handshakes are counted for each second of CPU time that the server takes, because the clients
take more of it than the servers. What is printed is the median of paired rounds.
"""

import socket
import ssl
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import (
    CARGO, CPU, GUARD, HERE, OURS, P50, P99, RATE, SECONDS, SECRET, WRK, Bars, Server, backend,
    build, checks_secret, guard, installed, machine, missing, need, paired, progress,
    raise_file_limit, ratio, rounds, servers, wrk,
)
from relay import nginx as nginx_relay, relay

ROUNDS = rounds(7)
COUNTS = (32, 128)
IDLE = 1000
FLOOD = 200
REQUEST = f"GET /protected HTTP/1.1\r\nHost: localhost\r\nX-Shared-Secret: {SECRET}\r\n\r\n".encode()
NGINX, ALONE = "nginx", "nginx return"


class Certificate:
    """A certificate of the name localhost, and what servers are told of it."""

    def __init__(self, folder):
        self.chain, self.key = folder / "cert.pem", folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", self.key, "-out", self.chain],
            check=True, capture_output=True,
        )
        # nginx's master reads it as root, and its workers share it.
        self.guard = {"LISTEN": "tls:127.0.0.1:@PORT@", "TLS_CERT": str(self.chain), "TLS_KEY": str(self.key)}
        self.nginx = (f"ssl_certificate {self.chain}; ssl_certificate_key {self.key}; "
                      "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on;")


def nginx_return(name, folder, certificate):
    text = (HERE / "nginx.conf").read_text()
    values = {"LISTEN": "ssl reuseport", "TLS": certificate.nginx}
    command = [installed("nginx"), "-p", ".", "-c", "nginx.conf"]
    return Server(name, folder, [(command, {})], [("nginx.conf", text)], values, tls=True, check=checks_secret)


def nginx(name, folder, port, certificate, **options):
    return nginx_relay(name, folder, port, listen="ssl reuseport", tls=certificate.nginx, **options)


def context():
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname, own.verify_mode = False, ssl.CERT_NONE
    own.minimum_version = ssl.TLSVersion.TLSv1_3
    return own


def connect(port, of, session=None):
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    return of.wrap_socket(plain, server_hostname="localhost", session=session)


def get(connection):
    connection.sendall(REQUEST)
    assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def busy(server):
    """Seconds of CPU time of all its threads, by the scheduler's clock: to the nanosecond, not
    to the tick."""
    total = 0
    for pid in server.pids():
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def handshakes(server, resumed):
    """Handshakes for each second of CPU time of the server."""
    of = context()
    session = None
    if resumed:
        # The tickets come behind the handshake, so that an answer is read first.
        with connect(server.port, of) as connection:
            get(connection)
            session = connection.session
    count, before, end = 0, busy(server), time.monotonic() + SECONDS
    while time.monotonic() < end:
        with connect(server.port, of, session) as connection:
            assert connection.session_reused == resumed, server.name
            if resumed:
                get(connection)
                # A ticket is good once with some servers.
                session = connection.session
        count += 1
    return count / (busy(server) - before)


def paired_handshakes(ours, peer, resumed):
    ratios = []
    for turn in range(ROUNDS):
        pair = [ours, peer] if turn % 2 == 0 else [peer, ours]
        rates = {server.name: handshakes(server, resumed) for server in pair}
        ratios.append(rates[ours.name] / rates[peer.name])
        progress("resumed handshakes" if resumed else "full handshakes", turn, ROUNDS)
    return statistics.median(ratios)


def memory(server):
    """MiB at rest, and bytes for each idle connection that has had an answer."""
    rest, of = server.resident_kib(), context()
    idle = []
    for _ in range(IDLE):
        connection = connect(server.port, of)
        get(connection)
        idle.append(connection)
    full = server.resident_kib()
    for connection in idle:
        connection.close()
    return rest / 1024, (full - rest) * 1024 / IDLE


def flood(port):
    """FLOOD new connections a second, each of which goes as far as the handshake. Ends with
    its process."""
    of, began, number = context(), time.monotonic(), 0
    while True:
        time.sleep(max(0, began + number / FLOOD - time.monotonic()))
        number += 1
        try:
            connect(port, of).close()
        except OSError:
            pass


def under_flood(server):
    """p99 of established connections under the flood, over the quiet p99 of the same round."""
    ratios = []
    for turn in range(ROUNDS):
        quiet = wrk(server, 32)[P99]
        hostile = subprocess.Popen([sys.executable, __file__, "flood", str(server.port)])
        time.sleep(0.5)
        loud = wrk(server, 32)[P99]
        assert hostile.poll() is None, "the flood has ended"
        hostile.terminate()
        hostile.wait()
        ratios.append(loud / quiet)
        progress("a flood of handshakes", turn, ROUNDS)
    return statistics.median(ratios)


def measure(folder, started):
    certificate = Certificate(folder)
    small = started(backend("floor", folder))
    ours = started(relay(OURS, folder, small.port, tls=True, **certificate.guard))
    peer = started(nginx(NGINX, folder, small.port, certificate))
    alone = started(guard("alone", folder, tls=True, **certificate.guard))
    returns = started(nginx_return(ALONE, folder, certificate))
    result = {
        "gets": paired(ours, [peer], COUNTS, ROUNDS),
        "alone": paired(alone, [returns], COUNTS, ROUNDS),
        "full": paired_handshakes(alone, returns, False),
        "resumed": paired_handshakes(alone, returns, True),
        "flood": under_flood(ours),
    }
    result["rest"], result["idle"] = memory(started(guard("memory", folder, tls=True, check=None, **certificate.guard)))
    large = started(backend("bodies", folder))
    ours = started(relay("guard of bodies", folder, large.port, check=None, tls=True, **certificate.guard))
    peer = started(nginx("nginx of bodies", folder, large.port, certificate, check=None))
    script = folder / "upload.lua"
    script.write_text('wrk.method = "POST"\nwrk.body = string.rep("x", 10000000)\n')
    result["down"] = paired(ours, [peer], (8,), ROUNDS)
    result["up"] = paired(ours, [peer], (8,), ROUNDS, script=script)
    return result


def main():
    need(WRK, CARGO, ("openssl", "apt install openssl"))
    if not installed("nginx"):
        return missing("TLS", "apt install nginx-light")
    raise_file_limit()
    build()
    with servers() as (folder, started):
        result = measure(folder, started)
    report(result)


def report(result):
    print(f"\nTLS 1.3, {machine(ROUNDS)}\n")
    columns = " | ".join(f"throughput, {count} | p50 | p99 | CPU" for count in COUNTS)
    print(f"| over TLS, against | {columns} |\n| --- |" + " ---: |" * (4 * len(COUNTS)))
    for what, name in (("gets", NGINX), ("alone", ALONE)):
        cells = [f"{ratio(result[what], count, name, column):.2f}" for count in COUNTS for column in (RATE, P50, P99, CPU)]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nThroughput: more than 1 is faster. p50, p99, CPU: less than 1 is less.\n")
    bars = Bars()
    for count in COUNTS:
        bars.at_least(f"small GETs through the relay / nginx, {count} connections", ratio(result["gets"], count, NGINX, RATE), 1.35)
    for count in COUNTS:
        bars.at_least(f"the guard alone / nginx return, {count} connections", ratio(result["alone"], count, ALONE, RATE), 1.2)
    bars.at_least("full handshakes / nginx, at equal CPU", result["full"], 1.4)
    bars.at_least("resumed handshakes / nginx, at equal CPU", result["resumed"], 1.4)
    bars.at_least("1 MB down / nginx, 8 connections", ratio(result["down"], 8, "nginx of bodies", RATE), 1.0)
    bars.at_least("10 MB up / nginx, 8 connections", ratio(result["up"], 8, "nginx of bodies", RATE), 1.3)
    bars.add("an idle TLS connection", f"{result['idle'] / 1000:.1f} kB", result["idle"] < 5000, "under 5 kB")
    bars.add("memory at rest", f"{result['rest']:.1f} MiB", result["rest"] < 4, "under 4 MB")
    size = GUARD.stat().st_size / 1e6
    bars.add("size of the static binary", f"{size:.2f} MB", size < 4, "under 4 MB")
    bars.at_most(f"p99 with {FLOOD} new handshakes a second / quiet", result["flood"], 3)
    bars.show()


if __name__ == "__main__":
    if sys.argv[1:2] == ["flood"]:
        flood(int(sys.argv[2]))
    main()
