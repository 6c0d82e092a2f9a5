#!/bin/sh
# sh tests/bits.sh: the weights after a short training have the same bits, however they were computed. Builds the program bits in
# several ways, those that this machine can run, and compares what it prints with tests/bits.txt. Some 7 minutes from nothing.
# sh tests/bits.sh PROGRAM: a build that is there, with 1 to 4 threads and with the reference kernels.
set -u
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"
passed=0 failed=0

compare() { # NAME PROGRAM...
    name=$1
    shift
    if printed=$("$@" 2>&1) && [ "$printed" = "$(cat "$root/tests/bits.txt")" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s: expected\n%s\n%s: printed\n%s\n' "$name" "$(cat "$root/tests/bits.txt")" "$name" "$printed"
    fi
}

threads_and_reference() { # NAME PROGRAM
    for threads in 1 2 3 4; do
        compare "$1, $threads threads" "$2" --threads $threads
    done
    compare "$1, reference kernels" env LOOKBACK_REFERENCE=1 "$2" --threads 2
}

build_and_compare() { # NAME OPTION...
    name=$1
    shift
    configure "$root/.build/bits-$name" doctest "$@"
    if build "$root/.build/bits-$name" tests/bits; then
        compare "$name" "$root/.build/bits-$name/tests/bits" --threads 2
    else
        failed=$((failed + 1))
    fi
}

run_tests() { # NAME of a build, NAME of tests
    if build "$root/.build/bits-$1" "tests/test_$2" && "$root/.build/bits-$1/tests/test_$2"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

if [ $# -gt 0 ]; then
    threads_and_reference "$(basename "$1")" "$1"
else
    build_and_compare release
    threads_and_reference release "$root/.build/bits-release/tests/bits"
    build_and_compare debug --buildtype=debug
    build_and_compare sanitized -Db_sanitize=address -Db_lundef=false
    build_and_compare x86-64-v3 -Dcpu=x86-64-v3
    run_tests x86-64-v3 kernels    # whose tiles are others
    build_and_compare x86-64 -Dcpu=x86-64    # vectors of 16 bytes, and no fused multiply-add
    run_tests x86-64 gradients               # of double, so two in a vector
    if command -v clang++ >/dev/null; then
        export CXX=clang++
        build_and_compare clang
        build_and_compare clang-debug --buildtype=debug
    else
        echo 'clang++ is not installed: not compared'
    fi
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
