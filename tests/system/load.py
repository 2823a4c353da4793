"""Starts processes at a steady rate and says how each went. Runs inside the container.

    load.py RATE SECONDS MODULES EXPECTED-DIGEST     RATE in starts per second

Prints JSON: {"ms": [...], "failed": ["what it said", ...], "attached": N, "reasons": {...}}.
"""
import json
import os
import subprocess
import sys
import threading
import time

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")
# As many may be alive at once; more would be late for their own start.
THREADS = 24


class Load:
    def __init__(self, rate, seconds, modules, expected):
        self.command = ["/usr/bin/python3", PROGRAM, modules]
        self.expected = expected
        self.begin = time.monotonic()
        self.times = [self.begin + number / rate for number in range(int(rate * seconds))]
        self.lock = threading.Lock()
        self.result = {"ms": [], "failed": [], "attached": 0, "reasons": {}, "late": 0}

    def one(self):
        begin = time.perf_counter()
        done = subprocess.run(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False,
                              env={key: value for key, value in os.environ.items()
                                   if key != "PYCDS"})
        took = (time.perf_counter() - begin) * 1000
        words = done.stdout.split()
        with self.lock:
            self.result["ms"].append(took)
            if (done.returncode != 0 or done.stderr or len(words) != 4 or
                    words[0] != self.expected):
                self.result["failed"].append("status %d: %s%s" % (
                    done.returncode, done.stdout[-300:], done.stderr[-300:]))
                return
            self.result["attached"] += words[1] == "1"
            reasons = self.result["reasons"]
            reasons[words[3]] = reasons.get(words[3], 0) + 1

    def work(self):
        while True:
            with self.lock:
                if not self.times:
                    return
                due = self.times.pop(0)
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            else:
                with self.lock:
                    self.result["late"] += wait < -1
            self.one()

    def run(self):
        threads = [threading.Thread(target=self.work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.result["seconds"] = time.monotonic() - self.begin
        return self.result


if __name__ == "__main__":
    print(json.dumps(Load(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]).run()))
