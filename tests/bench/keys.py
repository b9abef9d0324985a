"""Holds /authorize with a million keys against /authorize with ten.

usage: keys.py [SECONDS]   SECONDS of each run of wrk, 2 unless given

Prints how long a million keys take to load, how much memory they need, and the ratio of
the throughputs: the median of pairs, run side by side and in turn. Both are asked with
the same number of texts in the same order, so that wrk does the same work; with a
million keys they are spread over all of them.
"""

import base64
import hashlib
import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GUARD = ROOT / "target" / "dist" / "origin-guard"
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 2
ROUNDS = 9
MANY, FEW = 1_000_000, 10
ASKED = 10_000
CONNECTIONS = 32

# Each thread of wrk goes through all texts, and begins where its number says. The query
# tells equal ones apart: Lua would keep one for all, and with ten keys wrk have it easy.
SCRIPT = """
local requests, at, threads = {}, 0, 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init()
  for key in io.lines("@KEYS@") do
    local path = "/authorize?" .. 10000 + #requests
    requests[#requests + 1] = wrk.format("GET", path, {["Authorization"] = "Bearer " .. key})
  end
  at = number * 5000
end
function request() at = at % #requests + 1; return requests[at] end
"""


def base32(data):
    return base64.b32encode(data).decode().lower().rstrip("=")


def write_keys(path, count):
    """A file of `count` keys; returns `ASKED` of their texts."""
    texts = []
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write('{"version":1,"keys":[')
        for number in range(count):
            text = "og_" + base32(os.urandom(20))
            text += "_" + base32(hashlib.sha256(text.encode()).digest()[:4])[:6]
            digest = hashlib.sha256(text.encode()).digest()
            file.write(
                f'{"," if number else ""}\n{{"id":"{base32(digest[:7])[:10]}","digest":"{digest.hex()}",'
                f'"consumer":"consumer-{number:07}","created":"2020-11-24T07:00:00Z",'
                '"expires":"2096-11-24T07:00:00Z","metadata":{"plan":"pro","limit":1000}}'
            )
            if number % max(1, count // ASKED) == 0:
                texts.append(text)
        file.write("\n]}\n")
    return [texts[number % len(texts)] for number in range(ASKED)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """A guard with the gateway's door alone, ended by its pid."""

    def __init__(self, folder, count):
        self.port, keys = free_port(), folder / f"keys-{count}.json"
        texts = write_keys(keys, count)
        (folder / f"texts-{count}").write_text("".join(text + "\n" for text in texts))
        self.script = folder / f"ask-{count}.lua"
        self.script.write_text(SCRIPT.replace("@KEYS@", str(folder / f"texts-{count}")))
        environment = {
            "SHARED_SECRET": "benchmark-secret-0123456789abcdef",
            "LISTEN": "none",
            "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "API_KEYS_FILE": str(keys),
        }
        start = time.perf_counter()
        self.process = subprocess.Popen([GUARD], env=environment, stderr=subprocess.DEVNULL)
        while True:
            try:
                status = self.ask(texts[-1])
                break
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit("origin-guard does not serve")
                time.sleep(0.005)
        self.loaded = time.perf_counter() - start
        assert status == 200 and self.ask("og_" + 32 * "a" + "_aaaaaa") == 401
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.most_memory = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def ask(self, key):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/authorize", headers={"Authorization": f"Bearer {key}"})
        status = connection.getresponse().status
        connection.close()
        return status

    def rate(self, seconds=SECONDS):
        """Requests a second."""
        output = subprocess.run(
            ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", self.script,
             f"http://127.0.0.1:{self.port}/"],
            check=True, capture_output=True, text=True,
        ).stdout
        if "Non-2xx" in output:
            raise SystemExit(f"good keys were refused:\n{output}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])

    def end(self):
        self.process.terminate()
        self.process.wait()


def main():
    if not shutil.which("wrk"):
        raise SystemExit("needs wrk: apt install wrk")
    with tempfile.TemporaryDirectory() as name:
        few, many = (Gateway(Path(name), count) for count in (FEW, MANY))
        for gateway in (few, many):
            gateway.rate(1)
        ratios, rates = [], []
        for turn in range(ROUNDS):
            pair = [few, many] if turn % 2 == 0 else [many, few]
            rate = {id(gateway): gateway.rate() for gateway in pair}
            ratios.append(rate[id(many)] / rate[id(few)])
            rates.append(rate[id(many)])
            print(f"  keys, round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
        few.end()
        many.end()
    ratio = statistics.median(ratios)
    rows = [
        (f"exec to the first answer with {MANY:,} keys", f"{many.loaded:.2f} s", many.loaded < 2, "under 2 s"),
        ("memory at its most, meanwhile", f"{many.most_memory:.0f} MiB", many.most_memory < 238, "under 250 MB"),
        (f"throughput of /authorize / with {FEW} keys", f"{ratio:.3f}", ratio >= 0.95, "at least 0.95"),
    ]
    print(f"\n/authorize with {MANY:,} keys: {statistics.median(rates):,.0f} requests a second, "
          f"{CONNECTIONS} connections; ratios from {min(ratios):.3f} to {max(ratios):.3f}\n")
    print("| | measured | bar | |\n| --- | ---: | --- | --- |")
    for what, value, good, wanted in rows:
        print(f"| {what} | {value} | {wanted} | {'met' if good else '**missed**'} |")


main()
