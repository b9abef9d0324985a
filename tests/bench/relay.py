"""Holds the relay (BACKEND=...) against its peers, side by side, in front of one backend.

usage: relay.py [SECONDS [BINARY]]   SECONDS of each run of wrk, 2 unless given

Each peer is paired with a run of origin-guard right beside its own, before it
in one round and after it in the next, and what is printed is the median of the rounds'
ratios. CPU is user and system time of all processes of a server (/proc/PID/stat) for each
request that it has answered. Everything runs on loopback, and ends by pid.
"""

import statistics

from common import (
    BUILT, CARGO, CPU, GUARD, HERE, OURS, P50, P99, RATE, SECRET, WRK, Bars, Server, added,
    backend, build, checks_secret, first_answer, guard, installed, machine, memory, missing,
    need, paired, raise_file_limit, ratio, rounds, servers,
)

ROUNDS = rounds(7)
IDLE = 1000


def relay(name, folder, backend_port, check=checks_secret, **environment):
    environment |= {"BACKEND": f"http://127.0.0.1:{backend_port}"}
    return guard(name, folder, check=check, **environment)


def nginx(name, folder, backend_port, asks=False, listen="reuseport", tls=None, check=checks_secret):
    binary = installed("nginx")
    if not binary:
        return missing(name, "apt install nginx-light")
    check_secret = "auth_request /_guard;" if asks else (
        """if ($http_x_shared_secret = "") { return 401 '{"error":"No secret provided"}'; }\n"""
        """if ($http_x_shared_secret != "@SECRET@") { return 401 '{"error":"Invalid secret"}'; }"""
    )
    text = (HERE / "relay.nginx.conf").read_text().replace("@CHECK@", check_secret)
    values = {"BACKEND_PORT": backend_port, "LISTEN": listen, "TLS": tls or ""}
    alone = {"SHARED_SECRET": SECRET, "LISTEN": "unix:@SOCKET@", "WORKERS": "2"}
    first = [([GUARD], alone)] if asks else []
    commands = [*first, ([binary, "-p", ".", "-c", "nginx.conf"], {})]
    return Server(name, folder, commands, [("nginx.conf", text)], values, tls is not None, check)


def haproxy(name, folder, backend_port):
    binary = installed("haproxy")
    if not binary:
        return missing(name, "apt install haproxy")
    text = (HERE / "relay.haproxy.cfg").read_text()
    command = [binary, "-db", "-f", "haproxy.cfg"]
    values = {"BACKEND_PORT": backend_port}
    return Server(name, folder, [(command, {})], [("haproxy.cfg", text)], values, check=checks_secret)


def bare(name, folder, backend_port):
    command = [BUILT / "release" / "bare_relay"]
    return Server(name, folder, [(command, {"BACKEND_PORT": str(backend_port)})])


def microseconds(results, count, name, side):
    return statistics.median(pair[side][CPU] for pair in results[count][name]) * 1e6


def main():
    need(WRK, CARGO)
    raise_file_limit()
    build()
    with servers() as (folder, started):
        small = started(backend("floor", folder))
        ours = started(relay(OURS, folder, small.port))
        peers = [started(peer) for peer in (
            nginx("nginx", folder, small.port),
            haproxy("HAProxy", folder, small.port),
            nginx("nginx with auth_request", folder, small.port, asks=True),
            bare("bare relay", folder, small.port),
        )]
        peers = [peer for peer in peers if peer]
        gets = paired(ours, peers, (32, 128), ROUNDS)
        alone = paired(ours, [small], (2,), ROUNDS)
        rest, full = memory(started(relay("memory", folder, small.port)), IDLE)
        first = first_answer(BACKEND=f"http://127.0.0.1:{small.port}")
    with servers() as (folder, started):
        large = started(backend("bodies", folder))
        ours = started(relay("guard of bodies", folder, large.port, check=None))
        other = started(nginx("nginx of bodies", folder, large.port, check=None))
        script = folder / "upload.lua"
        script.write_text('wrk.method = "POST"\nwrk.body = string.rep("x", 10000000)\n')
        bodies = [other] if other else []
        down = paired(ours, bodies, (8,), ROUNDS)
        up = paired(ours, bodies, (8,), ROUNDS, script=script)
    report(gets, [peer.name for peer in peers], alone, down, up, rest, full, first)


def report(gets, names, alone, down, up, rest, full, first):
    print(f"\n{machine(ROUNDS)}\n")
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
    bars = Bars()
    def least(what, results, count, name, wanted):
        if name in results[count]:
            bars.at_least(f"{what}, {count} connections", ratio(results, count, name, RATE), wanted)
    def most(what, count, name, column, wanted):
        if name in gets[count]:
            bars.at_most(f"{what}, {count} connections", ratio(gets, count, name, column), wanted)
    for count, wanted in ((32, 1.2), (128, 1.3)):
        least("small GETs / nginx", gets, count, "nginx", wanted)
        most("p99 / nginx", count, "nginx", P99, 1.0)
        most("CPU for a request / nginx", count, "nginx", CPU, 0.75)
        least("small GETs / HAProxy", gets, count, "HAProxy", 1.2)
        least("small GETs / nginx with auth_request to the guard", gets, count, "nginx with auth_request", 1.9)
        least("small GETs / bare relay", gets, count, "bare relay", 0.85)
    value = added(alone, 2, "floor")
    bars.add("added p50, 2 connections", f"{value * 1e6:.0f} us", value < 60e-6, "under 60 us")
    least("1 MB down / nginx", down, 8, "nginx of bodies", 1.0)
    least("10 MB up / nginx", up, 8, "nginx of bodies", 1.0)
    bars.add("memory at rest", f"{rest:.1f} MiB", rest < 3, "under 3 MB")
    bars.add(f"memory with {IDLE} idle connections", f"{full:.1f} MiB", full < 6, "under 6 MB")
    bars.add("exec to the first 200", f"{first * 1000:.1f} ms", first < 0.010, "under 10 ms")
    bars.show()


if __name__ == "__main__":
    main()
