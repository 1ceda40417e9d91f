"""What the kernel knows about a process and all its descendants."""

import os
import signal
import time


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # it is gone
        return ""


def _tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def children(pid):
    found = []
    for task in _tasks(pid):
        found += [int(child) for child in _read(f"/proc/{pid}/task/{task}/children").split()]
    return found


def tree(pid):
    """The process and its descendants."""
    pids = [pid]
    for parent in pids:
        pids += children(parent)
    return pids


def cpu_ns(pids):
    """Time on a CPU, to the nanosecond; threads included."""
    total = 0
    for pid in pids:
        for task in _tasks(pid):
            stat = _read(f"/proc/{pid}/task/{task}/schedstat").split()
            total += int(stat[0]) if stat else 0
    return total


def switches(pids):
    """How often they were put on a CPU, of their own will or not."""
    total = 0
    for pid in pids:
        for line in _read(f"/proc/{pid}/status").splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def private_bytes(pid):
    """Memory that the process shares with nobody."""
    total = 0
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(("Private_Clean", "Private_Dirty")):
            total += int(line.split()[1]) * 1024
    return total


def alive(pid):
    stat = _read(f"/proc/{pid}/stat")
    return bool(stat) and stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def kill(pid, signo):
    try:
        os.kill(pid, signo)
    except ProcessLookupError:
        pass


def end(process, signo=signal.SIGTERM, patience=3.0):
    """End a Popen and whatever it has forked, the hard way if need be."""
    pids = tree(process.pid)
    for pid in pids:
        kill(pid, signal.SIGCONT)
    kill(process.pid, signo)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    for pid in pids:
        if alive(pid):
            kill(pid, signal.SIGKILL)
    process.wait()
