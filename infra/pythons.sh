#!/usr/bin/env bash
# The oldest and the newest supported Python of this machine that can make a venv, one path a line.
set -euo pipefail
shopt -s nullglob
here="$(dirname "$0")"
for python in /usr/bin/python3.?? /usr/local/bin/python3.?? "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3.?? \
  "$HOME"/.local/share/uv/python/*/bin/python3.??; do
  if "$python" "$here/supported.py" 2>/dev/null && "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -c 'import platform, sys; print(platform.python_version(), sys.executable)'
  fi
done | sort --version-sort | sed -n '1p;$p' | cut -d ' ' -f 2 | uniq
