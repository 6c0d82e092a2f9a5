#!/bin/sh
# sh tests/sanitize.sh: all tests under AddressSanitizer, UndefinedBehaviorSanitizer and LeakSanitizer, those with threads under
# ThreadSanitizer, and 00_tour --quick under valgrind's memcheck; nothing is suppressed. Some 30 minutes from nothing. Ends in
# `N passed, N failed`: programs and scripts as Meson counts them, and the tour.
# Left out: what compiles programs of its own without instruments (install, solutions), and what measures memory, which instruments
# take themselves (memory). The debugger sessions and the fuzzer are no part of such a build.
set -u
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"
passed=0 failed=0

run_tests() { # NAME OPTION... -- PATTERN [without PATTERN]
    name=$1 build=$root/.build/sanitize-$1
    shift
    options=
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    configure "$build" doctest -Dwerror=true -Db_lundef=false -Dcpp_args=-fno-sanitize-recover=all $options
    tests=$(meson test -C "$build" --no-rebuild --list 2>/dev/null | sed 's,.* / ,,' | grep -E "$2" | grep -vE "${3-^$}")
    result=$build/meson-logs/testlog.txt
    rm -f "$result"
    meson test -C "$build" --timeout-multiplier 10 --print-errorlogs $tests    # builds what these tests need
    [ -e "$result" ] || { failed=$((failed + 1)) && return; }
    passed=$((passed + $(sed -n 's/^Ok: *//p' "$result")))
    for kind in Fail Timeout 'Unexpected Pass'; do failed=$((failed + $(sed -n "s/^$kind: *//p" "$result"))); done
}

run_tests address -Db_sanitize=address,undefined --buildtype=debugoptimized -- . '^(install|memory|solutions_.*)$'
run_tests thread -Db_sanitize=thread --buildtype=debugoptimized -- '^(tensor|optim|decode|models|io|bits|first_losses|00_tour|12_contrast)$'

if command -v valgrind >/dev/null; then
    # valgrind knows AVX2 and no AVX-512. The blocks that tensors reuse and the names of scopes are still reachable at the end, which
    # is no leak: they live as long as the process (src/tensor/memory.cpp, scope.cpp).
    configure "$root/.build/sanitize-valgrind" doctest -Dcpu=x86-64-v3 --buildtype=debugoptimized
    if build "$root/.build/sanitize-valgrind" tutorials/00_tour &&
        valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \
            "$root/.build/sanitize-valgrind/tutorials/00_tour" --quick >/dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
else
    echo 'valgrind is not installed: 00_tour is not run under it'
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
