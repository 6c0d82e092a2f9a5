#!/bin/sh
# check.sh PROGRAM EXPECTED [options]: runs the program and compares what it prints, to the letter, with the file.
# UPDATE=1 makes what it prints the file. LOOKBACK_TRANSCRIPT=1 lets programs print `-` for times, which differ.
set -u
program=$1 expected=$2
shift 2
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 1

LOOKBACK_TRANSCRIPT=1 "$program" "$@" >printed
status=$?
[ -z "${UPDATE-}" ] || cp printed "$expected"
if [ $status != 0 ]; then
    echo "$program $*: exit status $status"
elif diff -u --label expected --label printed "$expected" printed; then
    echo '1 passed, 0 failed'
    exit 0
fi
echo '0 passed, 1 failed'
exit 1
