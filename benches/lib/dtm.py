"""The service on libdtm: its configuration, its life events, its signals."""

import os
import re
import select
import signal
import time

from . import process
from .servers import Refused, Server

FORK, OPEN, DRAINING, EXIT, RELOAD, CONFIG = 1, 3, 4, 5, 6, 7  # DTM_EVENT_*
WORKER = 4  # DTM_ROLE_WORKER


class Dtm(Server):
    """benches/servers/dtm.c. Its standard output is a line per life event."""

    def __init__(self, program, workers, mode="auto", **settings):
        super().__init__(f"dtm-{mode}", workers)
        self.program, self.mode, self.settings = program, mode, settings
        self.events, self.text, self.open = [], b"", 0

    def command(self, directory):
        self.configure(self.mode)
        return [self.program, str(self.port), os.path.join(directory, "conf")]

    def environment(self):
        return {"LIBDTM_LOG": f"info,file:{self.directory}/log"}

    def configure(self, mode):
        settings = {
            "workers": self.workers,
            "accept_mode": mode,
            "max_processes": 2 * self.workers + 32,
            **self.settings,
        }
        with open(os.path.join(self.directory, "conf"), "w") as conf:
            conf.write("[dtm]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))

    def read_events(self, timeout=0.0):
        while select.select([self.process.stdout], [], [], timeout)[0]:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                break
            self.text += data
            timeout = 0
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            at, *rest = line.split()
            self.events.append((float(at), *map(int, rest)))

    def times(self, *kinds):
        """When events of these kinds happened to workers, or to the service."""
        return [at for at, kind, role, *_ in self.events if kind in kinds and role in (0, WORKER)]

    def open_times(self):
        return [at for at, kind, role, *_ in self.events if kind == OPEN and role == WORKER]

    def count(self, kind):
        self.read_events()
        return len(self.times(kind))

    def wait_for(self, kind, count, patience=10.0):
        """Until so many of these events have happened; the status of the last one."""
        deadline = time.monotonic() + patience
        while self.count(kind) < count:
            if self.process.poll() is not None:
                raise Refused(self.complaint())
            if time.monotonic() > deadline:
                raise Refused("it took too long")
            self.read_events(0.05)
        return [event for event in self.events if event[1] == kind][count - 1][6]

    def ready(self):
        return self.process.poll() is None and self.count(OPEN) >= self.workers

    def worker_pids(self):
        """Those that serve: open, and not dead."""
        self.read_events()
        serving = {}
        for _, kind, role, _, _, pid, _ in self.events:
            if role == WORKER and kind == OPEN:
                serving[pid] = True
            elif role == WORKER and kind in (EXIT, DRAINING):
                serving.pop(pid, None)
        return list(serving)

    def schedule(self):
        """The accept schedule in force, in the words of the log."""
        with open(os.path.join(self.directory, "log")) as log:
            found = re.search("accept schedule ([^,]*)", log.read())
        return found.group(1) if found else "not said"

    def reload(self):
        done = self.count(RELOAD)
        process.kill(self.process.pid, signal.SIGHUP)
        return self.wait_for(RELOAD, done + 1)

    def grow(self):
        opened = self.count(OPEN)
        process.kill(self.process.pid, signal.SIGTTIN)
        self.wait_for(OPEN, opened + 1)

    def shrink(self):
        gone = self.count(EXIT)
        process.kill(self.process.pid, signal.SIGTTOU)
        self.wait_for(EXIT, gone + 1)

    def switch(self, mode):
        loaded = self.count(CONFIG)
        self.configure(mode)
        process.kill(self.process.pid, signal.SIGALRM)
        return self.wait_for(CONFIG, loaded + 1)
