#!/bin/sh
# sh tools/run_tests.sh TESTERS [ARGUMENTS]: pytest with so many processes, a file at a time, in the order that
# tests/environment.py gives them (by size of file the few long tests would come last).
#
# A few tests talk to real servers and browsers under a clock, and a machine that is busy can make one late. What failed
# beside the others gets one second try, alone and in the open, as CPython's own `regrtest --rerun` does it; it is named
# as unsteady whatever comes of it. More than three failures are no accident and get none.
set -u
testers=$1
shift
PYTEST="${VENV:-.venv}/bin/python -m pytest -q"
$PYTEST --cache-clear -n "$testers" --dist loadfile --no-loadscope-reorder "$@"
result=$?
[ $result -eq 1 ] || exit $result
failed=.pytest_cache/v/cache/lastfailed
count=$(grep -c true $failed 2>/dev/null || echo 0)
[ "$count" -ge 1 ] && [ "$count" -le 3 ] || exit $result
echo "UNSTEADY: once more, alone:"
grep true $failed
exec $PYTEST --last-failed --last-failed-no-failures none "$@"
