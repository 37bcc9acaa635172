#!/usr/bin/env bash
# Write requirements.lock and infra/contenders.txt for every Python and machine that pyproject.toml names, by uv.
# Versions stay unless the options say otherwise: infra/lock.sh --upgrade, or --upgrade-package NAME.
set -euo pipefail
cd "$(dirname "$0")/.."
made="$(mktemp -d)"
trap 'rm -r "$made"' EXIT

# What holds everywhere is said once, in pyproject.toml, not on every line.
plain() {
  sed "s/ and platform_python_implementation == 'CPython' and sys_platform == 'linux'$//
       s/ ; python_full_version < '3\.15'$//
       s/ ; python_full_version < '3\.15' and / ; /" "$@"
}
resolve() {
  uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
    --no-header --no-annotate "$@" pyproject.toml >/dev/null
}

{ grep -v '^#' requirements.lock || true; } >"$made/everything"
resolve --extra dev --extra flower --output-file "$made/everything" "$@"
{
  echo "# What .venv and the images hold, under every supported Python. Written by \`make lock\`."
  plain "$made/everything"
} >"$made/requirements.lock"

# Contenders keep to these versions; only what is not among them is named.
{ grep -v '^#' infra/contenders.txt || true; } >"$made/contenders"
resolve --extra contenders --constraint "$made/everything" --output-file "$made/contenders" "$@"
{
  echo "# Optimizers that \`python -m bench.search\` sets beside datamask's own, and what they need and requirements.lock"
  echo "# lacks. \`make contenders\` puts them into .venv. Written by \`make lock\`."
  awk -F '[= ;]' 'NR == FNR { have[$1]; next } !($1 in have)' "$made/everything" "$made/contenders" |
    plain
} >"$made/contenders.txt"

cp "$made/requirements.lock" requirements.lock
cp "$made/contenders.txt" infra/contenders.txt
