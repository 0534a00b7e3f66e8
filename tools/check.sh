#!/bin/sh
# Everything that `make check` looks at without running a test. Stops at the first fault.
set -eu
cd "$(dirname "$0")/.."
bin="${VENV:-.venv}/bin"
RETUNE_VAR="$(mktemp -d)"
export RETUNE_VAR
trap 'rm -rf "$RETUNE_VAR"' EXIT
echo "== ruff";       "$bin/ruff" check .
echo "== mypy";       "$bin/mypy"
echo "== layers";     "$bin/lint-imports" --no-logo
echo "== dependencies"; "$bin/python" tools/dependencies.py
echo "== bill of materials"; "$bin/python" -m tools.sbom "$RETUNE_VAR/sbom.cdx.json"
echo "== known weaknesses"; "$bin/python" -m tools.audit
echo "== budgets";    "$bin/python" tools/budgets.py
echo "== migrations"; "$bin/python" manage.py makemigrations --check --dry-run
echo "== system";     "$bin/python" manage.py check --fail-level ERROR
