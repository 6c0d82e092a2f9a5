#!/bin/sh
# sh tests/coverage.sh: the lines of src/ that the tests run, file by file with the numbers of those that they do not. Fails below
# 95 %. Needs gcovr. Some 10 minutes from nothing.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"
build=$root/.build/coverage
command -v gcovr >/dev/null || { echo 'skipped: gcovr is not installed' && exit 77; }

configure "$build" doctest --buildtype=debug -Db_coverage=true
build "$build" all
find "$build" -name '*.gcda' -delete
status=0
# Left out: what compiles programs of its own, which lack gcov's functions.
tests=$(meson test -C "$build" --no-rebuild --list 2>/dev/null | sed 's,.* / ,,' | grep -vE '^(install|fuzz)$')
meson test -C "$build" --no-rebuild --timeout-multiplier 5 --print-errorlogs $tests || status=1
# Processes that a test kills leave counts that gcovr cannot read.
gcovr --root "$root" --object-directory "$build" --gcov-ignore-parse-errors --filter "$root/src/" --exclude-throw-branches --fail-under-line 95 "$build"
exit $status
