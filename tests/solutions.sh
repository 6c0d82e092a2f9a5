#!/bin/sh
# sh tests/solutions.sh [NN]: runs everything that tutorials/solutions/NN_name.md says, of all tutorials or of one. Some minutes each.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"
configure "$root/.build/tests" doctest -Dwerror=true
build "$root/.build/tests" all
status=0
for solution in "$root/tutorials/solutions/${1-}"*.md; do
    name=$(basename "$solution" .md)
    echo "$name"
    "$root/.build/tests/tests/solutions" "$root/.build/tests" "$solution" "$root/tutorials/$name.cpp" --all || status=1
done
exit $status
