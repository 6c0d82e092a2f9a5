#!/bin/sh
# sh tests/bench/debugger.sh [SECONDS] [ROUNDS]: what is there for a debugger, in a release build, and what does it add to a training
# step of the models of 12_contrast? Three builds in turn (-Ddebugger=none, lines, frames), and of each the cheapest step.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$root/tutorials/setup.sh"
seconds=${1-0.4} rounds=${2-8}
for level in none lines frames; do
    configure "$root/.build/debugger-$level" -Ddebugger=$level
    build "$root/.build/debugger-$level" tests/bench/debugger
done

for round in $(seq "$rounds"); do
    for level in none lines frames; do
        "$root/.build/debugger-$level/tests/bench/debugger" "$root/datasets/english-french/train.tsv" "$seconds" | sed "s/^/$level /"
    done
done | awk '
    function keep(what, ms) { if (!(what in best) || ms < best[what]) best[what] = ms }
    { model = sprintf("%-13s%-9d", $2, $3); if (!(model in seen)) { seen[model]; order[++models] = model } }
    { keep(model $1, $4); if ($1 == "lines") keep(model "checked", $5) }
    function row(what, beside) {
        return sprintf("%8.2f %+5.1f %%", best[model what], 100 * (best[model what] / best[model beside] - 1))
    }
    END {
        print "ms a step    threads    none           lines          frames         checked (beside lines)"
        for (i = 1; i <= models; i++) {
            model = order[i]
            print model sprintf("%8.2f", best[model "none"]) row("lines", "none") row("frames", "none") row("checked", "lines")
        }
    }'
