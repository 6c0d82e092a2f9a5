#!/bin/sh
# sh tutorials/pictures/make.sh [NN]: runs the steps in full and puts the picture of each here, NN_name.svg. The same bytes come out
# each time, so `git diff` is empty unless a step changed.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$root/tutorials/setup.sh"
configure "$root/.build/release"
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT

# Which of the files that a step writes under --out is its picture.
while read -r name picture; do
    case $name in "${1-}"*) ;; *) continue ;; esac
    build "$root/.build/release" "tutorials/$name"
    "$root/.build/release/tutorials/$name" --out "$folder" >"$folder/printed" </dev/null || { cat "$folder/printed"; exit 1; }
    cp "$folder/$picture" "$root/tutorials/pictures/$name.svg"
    echo "tutorials/pictures/$name.svg"
done <<END
00_tour love.svg
01_chain_rule descents.svg
02_tensors slopes.svg
03_backward_by_hand heart.svg
04_training by_heart.svg
05_recurrence gradient.svg
06_fixed_vector score_by_length.svg
07_bottleneck score_by_length.svg
08_additive_attention red_letter.svg
09_score_functions looks.svg
10_self_attention looks.svg
11_transformer heads.svg
12_contrast score_by_length.svg
END
