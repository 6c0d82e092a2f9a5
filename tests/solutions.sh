#!/bin/sh
# sh tests/solutions.sh [NN]: runs everything that tutorials/solutions/NN_name.md says, of all tutorials or of one. Some minutes each.
# UPDATE=1 writes what is printed now in place of lines that are no longer printed; see tests/solutions.cpp.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"
configure "$root/.build/tests" doctest -Dwerror=true
build "$root/.build/tests" all
status=0
for solution in "$root/tutorials/solutions/${1-}"*.md; do
    name=$(basename "$solution" .md)
    echo "$name"
    "$root/.build/tests/tests/solutions" "$root/.build/tests" "$solution" "$root/tutorials/$name.cpp" --all ${UPDATE:+--update} || status=1
done
exit $status
