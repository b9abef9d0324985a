"""What asking costs behind nginx: the guard, and equivalent services of axum and Go.

usage: fronts.py [SECONDS]   SECONDS of each run of wrk, 2 unless given

Each runs behind an nginx of its own with the file that `origin-guard print nginx`
prints, over a Unix socket; one more nginx asks nobody. In each round all of them run
once, in an order that turns from round to round. A ratio and an added latency are
against the nginx alone of the same round, and what is printed is the median.
Everything runs on loopback, and ends by pid.
"""

import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from common import (
    CARGO, GUARD, HERE, OURS, P50, P99, RATE, SECRET, WRK, Bars, Processes, ask, installed, machine, missing,
    need, progress, rounds, wrk,
)
from run import commands

ROUNDS = rounds(9)
CONNECTIONS = (2, 32)
ALONE = "nginx alone"


class Front(Processes):
    """An nginx, and the service that it asks about each request, if any."""

    def __init__(self, name, command, nginx, folder):
        super().__init__(name, folder)
        folder.mkdir()
        socket = folder / "guard.sock"
        if command:
            self.start(command, {"SHARED_SECRET": SECRET, "SOCKET": str(socket), "LISTEN": f"unix:{socket}"})
            # nginx's workers are another user's, and the peers leave that to their umask.
            self.wait_until(lambda: socket.chmod(0o666))
        (folder / "origin.conf").write_text(self.fitted(socket, bool(command)))
        shutil.copy(HERE / "fronts.nginx.conf", folder / "nginx.conf")
        self.start([nginx, "-p", ".", "-c", "nginx.conf"], {})
        self.wait_until(self.verify)

    def fitted(self, socket, asks):
        printed = subprocess.run([GUARD, "print", "nginx"], check=True, capture_output=True, text=True).stdout
        values = {
            "unix:/run/origin-guard.sock": f"unix:{socket}",
            "server 127.0.0.1:8080;": f"server unix:{self.folder}/backend.sock;",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} reuseport;",
            "ssl_certificate     /etc": "#",
            "ssl_certificate_key /etc": "#",
        }
        if not asks:
            values["auth_request /_origin_guard;"] = ""
        for placeholder, value in values.items():
            assert placeholder in printed, placeholder
            printed = printed.replace(placeholder, value)
        return printed

    def verify(self):
        """The same answers as everyone, or its numbers would mean nothing."""
        wrong = 200 if self.name == ALONE else 401
        statuses = [ask(self.port, secret)[0] for secret in (SECRET, "wrong", "")]
        assert statuses == [200, wrong, wrong], (self.name, statuses)


def measure(fronts):
    """results[connections][name] is a list of (rate, p50, p99), one a round."""
    for front in fronts:
        wrk(front, 32, 1)
    results = {count: {front.name: [] for front in fronts} for count in CONNECTIONS}
    for count in CONNECTIONS:
        for turn in range(ROUNDS):
            start = turn % len(fronts)
            order = fronts[start:] + fronts[:start]
            for front in order if turn % 2 == 0 else reversed(order):
                results[count][front.name].append(wrk(front, count))
            progress(f"{count} connections", turn, ROUNDS)
    return results


def against_alone(results, count, name):
    """The median ratio of throughput, and the median added p50 and p99 in seconds."""
    pairs = list(zip(results[count][name], results[count][ALONE]))
    return (
        statistics.median(its[RATE] / alone[RATE] for its, alone in pairs),
        statistics.median(its[P50] - alone[P50] for its, alone in pairs),
        statistics.median(its[P99] - alone[P99] for its, alone in pairs),
    )


def report(results, names):
    print(f"\nnginx asks about each request; {machine(ROUNDS)}\n")
    columns = " | ".join(f"throughput, {count} | added p50 | added p99" for count in CONNECTIONS)
    print(f"| nginx with | {columns} |\n| --- |" + " ---: |" * (3 * len(CONNECTIONS)))
    for name in names:
        cells = []
        for count in CONNECTIONS:
            ratio, *added = against_alone(results, count, name)
            cells += [f"{ratio:.2f}"] + [f"{seconds * 1e6:.0f} us" for seconds in added]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nThroughput: of that of nginx alone. Added: to the latency of nginx alone.\n")
    bars = Bars()
    for count in CONNECTIONS:
        for name in names:
            if name != OURS:
                mine, its = (against_alone(results, count, of)[1] for of in (OURS, name))
                bars.add(f"added p50 / {name}, {count} connections", f"{mine / its:.2f}", mine < its, "under 1")
    bars.show()


def main():
    need(WRK, CARGO)
    nginx = installed("nginx")
    if not nginx:
        missing("the price behind nginx", "apt install nginx-light")
        return
    built = commands()
    services = {ALONE: None, OURS: [GUARD], "axum": built["axum"], "Go net/http": built.get("Go net/http")}
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        fronts = []
        try:
            for number, (service, command) in enumerate(services.items()):
                if command or service == ALONE:
                    fronts.append(Front(service, command, nginx, Path(name) / str(number)))
            results = measure(fronts)
        finally:
            for front in fronts:
                front.end()
    report(results, [front.name for front in fronts if front.name != ALONE])


if __name__ == "__main__":
    main()
