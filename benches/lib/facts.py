"""What was compared, where and when."""

import os
import platform
import re
import shutil
import subprocess
import time


def find(command):
    """Debian keeps servers where users do not look."""
    return shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _first_line(*command):
    program = find(command[0])
    if not program:
        return "not there"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True)
    return ((done.stdout + done.stderr).strip() or "not there").splitlines()[0]


def facts(cpus):
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*: (.*)", info.read())
    return {
        "date": time.strftime("%Y-%m-%d"),
        "CPUs": str(len(cpus)),
        "machine": model.group(1) if model else platform.machine(),
        "kernel": platform.release(),
        "libdtm": _first_line("git", "describe", "--always", "--dirty"),
        "rustc": _first_line("rustc", "--version"),
        "C compiler": _first_line("cc", "--version"),
        "nginx": _first_line("nginx", "-v").removeprefix("nginx version: nginx/"),
        "HAProxy": _first_line("haproxy", "-v").split(" - ")[0].removeprefix("HAProxy version "),
        "libuv": _first_line("pkg-config", "--modversion", "libuv"),
        "libevent": _first_line("pkg-config", "--modversion", "libevent"),
        "wrk": _first_line("wrk", "-v").split(" [")[0].removeprefix("wrk "),
    }
