"""Holds /authorize with a million keys against /authorize with ten.

usage: keys.py [SECONDS]   SECONDS of each run of wrk, 2 unless given

Prints how long a million keys take to load, how much memory they need, and the ratio of
the throughputs: the median of pairs, run side by side and in turn. Both are asked with
the same number of texts in the same order, so that wrk does the same work; with a
million keys they are spread over all of them.
"""

import base64
import hashlib
import os
import re
import statistics
import tempfile
import time
from pathlib import Path

from common import RATE, WRK, Bars, ask, guard, need, progress, rounds, wrk

ROUNDS = rounds(9)
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


def asked(folder, count):
    """A file of keys, and a script of wrk that asks with some of them, spread over all; and
    one of these."""
    keys = folder / f"keys-{count}.json"
    texts = write_keys(keys, count)
    (folder / f"texts-{count}").write_text("".join(text + "\n" for text in texts))
    script = folder / f"ask-{count}.lua"
    script.write_text(SCRIPT.replace("@KEYS@", str(folder / f"texts-{count}")))
    return keys, script, texts[-1]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def checks_key(key):
    def check(server):
        status = lambda key: ask(server.port, path="/authorize", fields=bearer(key))[0]
        assert status(key) == 200 and status("og_" + 32 * "a" + "_aaaaaa") == 401, server.name
    return check


class Gateway:
    """A guard with the gateway's listener alone."""

    def __init__(self, folder, count):
        keys, self.script, key = asked(folder, count)
        start = time.perf_counter()
        self.server = guard(f"{count} keys", folder, check=checks_key(key), LISTEN="none",
                            GATEWAY_LISTEN="127.0.0.1:@PORT@", API_KEYS_FILE=str(keys))
        self.loaded = time.perf_counter() - start
        status = Path(f"/proc/{self.server.processes[0].pid}/status").read_text()
        self.most_memory = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def rate(self, **options):
        """Requests a second."""
        return wrk(self.server, CONNECTIONS, script=self.script, fields=(), **options)[RATE]


def main():
    need(WRK)
    with tempfile.TemporaryDirectory() as name:
        few, many = (Gateway(Path(name), count) for count in (FEW, MANY))
        for gateway in (few, many):
            gateway.rate(seconds=1)
        ratios, rates = [], []
        for turn in range(ROUNDS):
            pair = [few, many] if turn % 2 == 0 else [many, few]
            rate = {id(gateway): gateway.rate() for gateway in pair}
            ratios.append(rate[id(many)] / rate[id(few)])
            rates.append(rate[id(many)])
            progress("keys", turn, ROUNDS)
        for gateway in (few, many):
            gateway.server.end()
    ratio = statistics.median(ratios)
    print(f"\n/authorize with {MANY:,} keys: {statistics.median(rates):,.0f} requests a second, "
          f"{CONNECTIONS} connections; ratios from {min(ratios):.3f} to {max(ratios):.3f}\n")
    bars = Bars()
    bars.add(f"exec to the first answer with {MANY:,} keys", f"{many.loaded:.2f} s", many.loaded < 2, "under 2 s")
    bars.add("memory at its most, meanwhile", f"{many.most_memory:.0f} MiB", many.most_memory < 238, "under 250 MB")
    bars.at_least(f"throughput of /authorize / with {FEW} keys", ratio, 0.95, digits=3)
    bars.show()


if __name__ == "__main__":
    main()
