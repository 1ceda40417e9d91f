"""The load generator: a process that is told what to do, line by line."""

import json
import os
import signal
import subprocess

from . import process


class Load:
    def __init__(self, program, cpus):
        self.process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )

    def begin(self, *words):
        """Start a command and go on; `finish` has its result."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")

    def finish(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator has ended")
        result = json.loads(line)
        if "error" in result:
            raise RuntimeError(result["error"])
        return result

    def __call__(self, *words):
        self.begin(*words)
        return self.finish()

    def stop(self):
        """The paced load that runs begins no more connections."""
        self.process.send_signal(signal.SIGUSR1)

    def cpu_ns(self):
        return process.cpu_ns([self.process.pid])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def lost(result):
    return sum(result[kind] for kind in ("refused", "reset", "other", "stuck"))
