"""Whether this Python is one that pyproject.toml supports: exit code 0, or 1 and a line that says which are.

Pythons that are too old are to understand it, so it uses nothing new.
"""

import os
import platform
import re
import sys

PYPROJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pyproject.toml")


def main():
    """The exit code."""
    with open(PYPROJECT) as file:
        oldest, end = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', file.read(), re.MULTILINE)[0]
    if (3, int(oldest)) <= sys.version_info < (3, int(end)):
        return 0
    span = "Python 3." + oldest + " to 3." + str(int(end) - 1)
    here = sys.executable + " is " + platform.python_version()
    sys.stderr.write("datamask needs " + span + ", and " + here + "; name another: make PYTHON=python3.12\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
