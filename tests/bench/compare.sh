#!/bin/sh
# sh tests/bench/compare.sh [SECONDS] [RUNS] [STEPS]: translate_bench and, where python3-torch is installed, the same models in PyTorch,
# in turn on the same file: training for SECONDS (8), then greedy decoding after STEPS (300) of training, so that both decode with models
# that have learned as much. Prints the median of the runs (5) of each, and ratios. PyTorch has one thread, with which it is faster here.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$root/tutorials/setup.sh"
seconds=${1-8} runs=${2-5} steps=${3-300}
configure "$root/.build/release"
build "$root/.build/release" tests/bench/translate_bench
bench=$root/.build/release/tests/bench/translate_bench
train=$root/datasets/english-french/train.tsv
results=$(mktemp -d) && trap 'rm -rf "$results"' EXIT

python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import torch' 2>/dev/null; then python=$candidate && break; fi
done
[ -n "$python" ] || echo 'python3-torch is not installed: no ratios'

# FILE FIELD: the median of a field over the runs, one JSON a line.
median() {
    sed -n "s/.*\"$2\": \([0-9.]*\).*/\1/p" "$results/$1" | sort -n | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'
}

# MODEL [OPTION...]: runs one model everywhere, in turn, and prints its rows.
compare() {
    name=$(echo "$*" | tr -d ' -')
    for run in $(seq "$runs"); do
        for until in seconds steps; do
            [ $until = seconds ] && limit="--seconds $seconds" || limit="--steps $steps"
            [ -z "$python" ] || "$python" "$root/tests/bench/torch_translate.py" "$train" "$@" $limit >>"$results/torch-$name-$until"
            for threads in 1 2; do
                "$bench" "$train" "$@" $limit --threads $threads >>"$results/$threads-$name-$until"
            done
        done
    done
    for field in tokens_per_second peak_mib seconds_to_first_step batch_1 batch_64 words_1 words_64; do
        case $field in *_1 | *_64) until=steps ;; *) until=seconds ;; esac
        one=$(median "1-$name-$until" $field) two=$(median "2-$name-$until" $field) torch=-
        [ -z "$python" ] || torch=$(median "torch-$name-$until" $field)
        echo "$*" "$field" "$one" "$two" "$torch" | awk '{
            ratio1 = ratio2 = "-"
            if ($NF != "-" && $NF > 0) { ratio1 = sprintf("%.2f", $(NF - 2) / $NF); ratio2 = sprintf("%.2f", $(NF - 1) / $NF) }
            name = $1; for (i = 2; i < NF - 3; i++) name = name " " $i
            printf "%-24s%-22s%10s%10s%10s%8s%8s\n", name, $(NF - 3), $(NF - 2), $(NF - 1), $NF, ratio1, ratio2
        }'
    done
}

printf '%-24s%-22s%10s%10s%10s%8s%8s\n' model figure '1 thread' '2 threads' PyTorch ratio1 ratio2
compare fixed
compare attention
compare transformer
compare transformer --width 64
