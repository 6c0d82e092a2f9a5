#!/bin/sh
# sh tests/bench/scaling.sh [SECONDS]: how tokens/s and memory grow with the batch, the hidden size, the sentence and the threads. Each
# figure is one run of translate_bench of so many seconds (4), the other sizes as in compare.sh: batch 64, width 128, 2 threads.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$root/tutorials/setup.sh"
seconds=${1-4}
configure "$root/.build/release"
build "$root/.build/release" tests/bench/translate_bench
bench=$root/.build/release/tests/bench/translate_bench
train=$root/datasets/english-french/train.tsv
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT

# TOKENS: pairs of sentences of so many tokens on the source side, made of the corpus' sentences one after the other.
pairs_of() {
    awk -F '\t' -v want="$1" '{
        source = source " " $1; target = target " " $2
        n = split(source, s, " ")
        if (n < want) next
        m = split(target, t, " ")
        line = s[1]; for (i = 2; i <= want; i++) line = line " " s[i]
        line = line "\t" t[1]; for (i = 2; i <= want && i <= m; i++) line = line " " t[i]
        print line
        source = target = ""
    }' "$train" | head -n 2000 >"$folder/pairs.tsv"
}

# FILE OPTION...: one cell for each model, tokens/s and MiB.
row() {
    file=$1
    shift
    for model in fixed attention transformer; do
        "$bench" "$file" $model --seconds "$seconds" "$@" |
            sed 's/.*"tokens_per_second": \([0-9]*\).*"peak_mib": \([0-9]*\).*/\1 \2/'
    done | awk '{ printf " %9d | %4d |", $1, $2 }'
    echo
}

table() { # FIRST COLUMN
    printf '\n| %s | fixed vector, tokens/s | MiB | attention, tokens/s | MiB | Transformer, tokens/s | MiB |\n|---|---|---|---|---|---|---|\n' "$1"
}

table batch
for batch in 1 4 16 64 256; do printf '| %d |' $batch && row "$train" --batch $batch; done
table 'hidden size'
for width in 32 64 128 256 512; do printf '| %d |' $width && row "$train" --width $width; done
table 'tokens a sentence'
for tokens in 5 10 20 50 100 200; do pairs_of $tokens && printf '| %d |' $tokens && row "$folder/pairs.tsv"; done
table threads
for threads in $(seq "$(nproc)"); do printf '| %d |' "$threads" && row "$train" --threads "$threads"; done
