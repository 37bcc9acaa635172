"""Run a coordinator in a container: bad input ends it for good, anything else that fails is started again.

Used as ``coordinate.py datamask evolve ...``. An engine that starts a container again when it fails does so
whatever the exit code. That mends a process that was killed and a store that was away, and no wrong spec. So
exit code 2, which is bad input, becomes 0, and the words about it go into the file that DATAMASK_REFUSAL
names, for ``datamask watch`` to show. A coordinator that starts anew removes the file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

BAD_INPUT = 2


def main(command: list[str]) -> int:
    """Run the command to its end; returns the container's exit code."""
    file = Path(os.environ["DATAMASK_REFUSAL"])
    file.unlink(missing_ok=True)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as child:

        def pass_on(number: int, frame: FrameType | None) -> None:
            child.send_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, pass_on)
        words = f"exit code {BAD_INPUT} without a word"
        for line in child.stderr or ():
            print(line, end="", file=sys.stderr, flush=True)
            words = line.strip() or words
    if child.returncode != BAD_INPUT:
        return child.returncode if child.returncode >= 0 else 128 - child.returncode
    file.write_text(words + "\n")
    print("This is bad input, so the coordinator is not started again by itself.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
