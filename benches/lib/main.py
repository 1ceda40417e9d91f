"""python3 -B main.py PROGRAMS [--quick] [--json] [--only PATTERN]"""

import argparse
import json
import os
import resource
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import changes, cost, faults, figure, footprint, network, share, wrk  # noqa: E402
from lib.bench import Bench  # noqa: E402

SCENARIOS = {
    "keepalive": cost.keepalive,
    "connect": cost.connect,
    "growth": cost.growth,
    "share": share.share,
    "faults": faults.faults,
    "kill": faults.kill,
    "changes": changes.changes,
    "quiet": changes.quiet,
    "start": footprint.start,
    "idle": footprint.idle,
    "memory": footprint.memory,
    "instructions": footprint.instructions,
    "wrk": wrk.wrk,
}


def main():
    parser = argparse.ArgumentParser(prog="run.sh")
    parser.add_argument("programs", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="few rounds, under four minutes")
    parser.add_argument("--json", action="store_true", help="one object a line instead of a table")
    parser.add_argument("--only", default="", metavar="PATTERN", help="scenarios that match it")
    parser.add_argument("--keep", metavar="FILE", help="write everything that was measured to it")
    options = parser.parse_args()

    network.prepare()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    bench = Bench(options.programs, options.quick, options.only)
    try:
        for name, scenario in SCENARIOS.items():
            if bench.only.search(name):
                bench.say(f"== {name}: {scenario.__doc__}")
                scenario(bench)
    finally:
        bench.close()
    if options.keep:
        with open(options.keep, "w") as file:
            json.dump({"figures": [vars(f) for f in bench.figures], "plots": bench.plots, "versions": bench.versions()}, file)
    if options.json:
        print("\n".join(f.json() for f in bench.figures))
    else:
        print(figure.table(bench.figures))


main()
