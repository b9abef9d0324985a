"""Holds both halves, the guard as the gateway (ORIGIN=...) and the guard in front of a backend
(BACKEND=...), against how it is done today: nginx at the gateway and nginx at the origin, each
asking a guard by auth_request.

usage: edge.py [SECONDS [BINARY]]   SECONDS of each run of wrk, 2 unless given

Plain HTTP, all on one machine, two workers for each process. Both ways are run one right
behind the other in each round, and what is printed is the median of the rounds' ratios.
"""

import statistics

from common import (
    CARGO, CPU, GUARD, HERE, OURS, P50, P99, RATE, SECRET, WRK, Bars, Processes, Server, added, ask,
    backend, build, guard, installed, machine, missing, need, paired, progress,
    raise_file_limit, ratio, rounds, servers, wrk,
)
from keys import FEW, MANY, asked, bearer, write_keys
from relay import nginx as nginx_relay, relay

ROUNDS = rounds(7)
COUNTS = (32, 128)
TODAY = "nginx and nginx, each asking a guard"
CONNECTIONS = 32
# Nobody reaches it, and all are counted.
RATE_LIMIT = "1000000/1s"


class Way(Processes):
    """A gateway and an origin behind it, measured as one."""

    def __init__(self, name, gateway, origin):
        self.name, self.port, self.tls = name, gateway.port, False
        self.processes = gateway.processes + origin.processes


def lets_in(key):
    def check(server):
        """The same answers as everyone, or its numbers would mean nothing."""
        status = lambda key: ask(server.port, fields=bearer(key))[0]
        assert status(key) == 200 and status("og_" + 32 * "a" + "_aaaaaa") == 401, server.name
    return check


def gateway(name, folder, origin_port, keys, key, **environment):
    return guard(name, folder, check=lets_in(key), LISTEN="none", GATEWAY_LISTEN="127.0.0.1:@PORT@",
                 ORIGIN=f"http://127.0.0.1:{origin_port}", API_KEYS_FILE=str(keys), **environment)


def nginx_gateway(name, folder, origin_port, keys, key):
    asks = {"SHARED_SECRET": SECRET, "LISTEN": "none", "WORKERS": "2",
            "GATEWAY_LISTEN": "unix:@SOCKET@", "API_KEYS_FILE": str(keys)}
    commands = [([GUARD], asks), ([installed("nginx"), "-p", ".", "-c", "nginx.conf"], {})]
    text = (HERE / "edge.nginx.conf").read_text()
    return Server(name, folder, commands, [("nginx.conf", text)], {"BACKEND_PORT": origin_port}, check=lets_in(key))


def with_limits(folder, origin_port, started):
    """The ratios of a million keys to ten, with a limit for each consumer."""
    both = []
    for count in (FEW, MANY):
        keys, script, key = asked(folder, count)
        name = f"{count} keys with limits"
        server = started(gateway(name, folder, origin_port, keys, key, RATE_LIMIT=RATE_LIMIT))
        both.append((server, script))
    rate = lambda server, script, **options: wrk(
        server, CONNECTIONS, path="/", script=script, fields=(), **options)[RATE]
    for server, script in both:
        rate(server, script, seconds=1)
    ratios = []
    for turn in range(ROUNDS):
        order = both if turn % 2 == 0 else both[::-1]
        rates = {server.name: rate(server, script) for server, script in order}
        few, many = (rates[server.name] for server, _ in both)
        ratios.append(many / few)
        progress("a million keys and ten", turn, ROUNDS)
    return statistics.median(ratios)


def main():
    need(WRK, CARGO)
    if not installed("nginx"):
        return missing("both halves", "apt install nginx-light")
    raise_file_limit()
    build()
    with servers() as (folder, started):
        key = write_keys(folder / "keys.json", 1)[0]
        floor = started(backend("floor", folder))
        origin = started(relay("origin", folder, floor.port))
        first = started(gateway("gateway", folder, origin.port, folder / "keys.json", key))
        ours = Way(OURS, first, origin)
        second = started(nginx_relay("nginx origin", folder, floor.port, asks=True))
        third = started(nginx_gateway("nginx gateway", folder, second.port, folder / "keys.json", key))
        today = Way(TODAY, third, second)
        fields = (f"Authorization: Bearer {key}",)
        results = paired(ours, [today], COUNTS, ROUNDS, fields=fields)
        alone = paired(ours, [floor], (2,), ROUNDS, fields=fields)
        limited = with_limits(folder, origin.port, started)
    report(results, alone, limited)


def report(results, alone, limited):
    print(f"\n{machine(ROUNDS)}\n")
    columns = " | ".join(f"throughput, {count} | p50 | p99 | CPU" for count in COUNTS)
    print(f"| both halves against | {columns} |\n| --- |" + " ---: |" * (4 * len(COUNTS)))
    cells = [f"{ratio(results, count, TODAY, column):.2f}" for count in COUNTS for column in (RATE, P50, P99, CPU)]
    print(f"| {TODAY} | " + " | ".join(cells) + " |")
    print("\nThroughput: more than 1 is faster. p50, p99, CPU: less than 1 is less.\n")
    bars = Bars()
    for count in COUNTS:
        bars.at_least(f"throughput / {TODAY}, {count} connections", ratio(results, count, TODAY, RATE), 2.0)
    value = added(alone, 2, "floor")
    bars.add("added p50 of both halves, 2 connections", f"{value * 1e6:.0f} us", value < 120e-6, "under 120 us")
    bars.at_least(f"throughput with {MANY:,} keys and limits / with {FEW}", limited, 0.95, digits=3)
    bars.show()


if __name__ == "__main__":
    main()
