#!/bin/sh
# sh tests/full_runs.sh [NN]: runs the steps of the course in full, or one of them. Their claims must hold, and what they print must
# keep to 40 lines of 80 columns. Tells the time of each beside the one that its first line promises. Some minutes.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"
configure "$root/.build/release"
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder"

passed=0 failed=0
for source in "$root/tutorials/${1-}"*.cpp; do
    name=$(basename "$source" .cpp)
    case $name in [0-9][0-9]_*) ;; *) continue ;; esac
    build "$root/.build/release" "tutorials/$name"
    begin=$(date +%s)
    status=0 && "$root/.build/release/tutorials/$name" --out out >printed </dev/null || status=$?
    seconds=$(($(date +%s) - begin))
    lines=$(wc -l <printed)
    # A character of UTF-8 has one byte that is not 10xxxxxx.
    columns=$(LC_ALL=C tr -d '\200-\277' <printed | LC_ALL=C awk 'length > most { most = length } END { print most + 0 }')
    printf '%-24s %4s s (%s)  %2d lines  %2d columns  exit %d\n' "$name" "$seconds" \
        "$(sed -n '1s/.*(about \(.*\))/\1/p' "$source")" "$lines" "$columns" "$status"
    if [ "$status" = 0 ] && [ "$lines" -le 40 ] && [ "$columns" -le 80 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        cat printed
    fi
done
[ $((passed + failed)) -gt 0 ] || fail "no tutorial begins with '$1'"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
