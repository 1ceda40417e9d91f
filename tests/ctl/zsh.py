"""zsh.py DIRECTORY LINE: what an interactive zsh makes of LINE and a tab, with the completion
script `_dtmctl` that is in DIRECTORY."""

import os
import pty
import re
import select
import sys
import time

directory, line = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", HOME=directory, ZDOTDIR=directory)
    os.execvp("zsh", ["zsh", "-f", "-i"])

heard = b""


def send(text):
    os.write(terminal, text.encode())


def wait_for(text, seconds=30):
    """Until it is said; what was said since the last call."""
    global heard
    end = time.monotonic() + seconds
    while text not in heard:
        if time.monotonic() > end:
            sys.exit(f"zsh: no {text!r} in {heard!r}")
        if select.select([terminal], [], [], 0.1)[0]:
            heard += os.read(terminal, 65536)
    said, heard = heard, b""
    return said


send(
    f"PS1='> '; fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -D; "
    "unset zle_bracketed_paste; report() { print -r -- \"<$BUFFER>\"; BUFFER=; }; "
    "zle -N report; bindkey '^X' report; print RE''ADY\n"
)
wait_for(b"READY")
send(line + "\t\x18")
said = wait_for(b">\r\n").decode(errors="replace")
os.kill(pid, 9)
print(re.findall(r"<(.*?)>\r\n", said)[-1].rstrip())
