"""Children that write until they are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time


def kill_a_writer(program: str, url: str, after_s: float) -> int:
    """Run `program` with `url`, SIGKILL it `after_s` after its first line; the last number it printed."""
    with subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        last = int(child.stdout.readline())
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                last = int(line)
    return last
