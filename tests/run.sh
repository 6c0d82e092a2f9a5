#!/bin/sh
# sh tests/run.sh [NAME]: builds everything with warnings as errors and runs all tests, or those with NAME in their name.
# Ends in one line, `N passed, N failed`: test cases of the doctest programs and of the script tests.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"
tests=$root/.build/tests
case ${1-} in -h | --help) sed -n '2,3s/^# //p' "$0" && exit ;; esac

configure "$tests" doctest -Dwerror=true
build "$tests" all || { echo '0 passed, 1 failed'; exit 1; }

status=0
if [ $# -gt 0 ]; then
    names=$(meson test -C "$tests" --no-rebuild --list | sed 's,.* / ,,' | grep -e "$1") ||
        fail "no test has '$1' in its name"
    meson test -C "$tests" --no-rebuild --print-errorlogs $names || status=1
else
    meson test -C "$tests" --no-rebuild --print-errorlogs || status=1
fi

# Each program ends its output in its own count, `[doctest] test cases: 3 | 2 passed | 1 failed | ...` or that of a
# script, `2 passed, 1 failed`; one that ends in another way (a crash, a timeout) is one failed case. A test that lacks a tool
# says so, `skipped: REASON`, and ends with status 77.
awk -v status=$status '
    function close_test() { if (bad && !test_failed) failed++ }
    /^test: /           { close_test(); bad = test_failed = 0; name = $NF }
    /^result: /         { bad = !/exit status (0|77)$/ }
    /^skipped: /        { print name " " $0 }
    /^\[doctest\] test cases:/ { gsub(/\|/, " "); passed += $5; failed += $7; test_failed = $7 }
    /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3; test_failed = $3 }
    END {
        close_test()
        if (status && !failed) failed = 1
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0
    }
' "$tests/meson-logs/testlog.txt"
