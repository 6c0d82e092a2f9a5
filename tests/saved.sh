#!/bin/sh
# saved.sh 12_contrast translate: what is trained is kept. Saved models say what they said before, and translate uses them; a
# training that is interrupted goes on; files that cannot be used are refused by name.
set -u
contrast=$1 translate=$2
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 1
passed=0 failed=0
export LOOKBACK_TRANSCRIPT=1    # no times

result() {  # NAME PROBLEM: counts a case, which fails if there is a problem
    if [ -z "$2" ]; then passed=$((passed + 1)) && return; fi
    failed=$((failed + 1))
    echo "$1: $2"
    cat error
}

refused() {  # NAME PHRASE COMMAND...: must end with status 2 and one line that says PHRASE
    name=$1 phrase=$2
    shift 2
    timeout 100 "$@" >/dev/null 2>error </dev/null
    status=$?
    problem=
    [ $status = 2 ] || problem="exit status $status, not 2"
    [ "$(wc -l <error)" -eq 1 ] || problem='not one line on stderr'
    grep -qF -e "$phrase" error || problem="no '$phrase' on stderr"
    result "$name" "$problem"
}

# ---- Saved models ---------------------------------------------------------------------------------------------------------

begin=$(date +%s%N)
"$contrast" --quick --steps 60 --out out --save models >trained 2>error
result 'to train and save' "$([ $? = 0 ] || echo "exit status $?")"
time=$(($(date +%s%N) - begin))    # in nanoseconds
"$contrast" --quick --steps 60 --out again --load models >loaded 2>error
result 'to load' "$([ $? = 0 ] || echo "exit status $?")"
# All but the first lines, which tell where the models come from, and the name of the folder.
sed -n '4,$s/: out$//p;4,$p' trained >a && sed -n '3,$s/: again$//p;3,$p' loaded >b
sed -i '/pictures and figures/d' a b
result 'a loaded model says what it said before it was saved' "$(diff a b)"
result 'the log counts its steps from 1' "$(sed -n 2p out/log.csv | grep -v '^fixed,1,')"
result 'nothing is trained' "$(ls again | grep -e loss -e log)"
"$contrast" --quick --steps 60 --out again --load models --save copy >loaded 2>error
for file in source.txt target.txt fixed.safetensors attention.safetensors transformer.safetensors; do
    result "$file is written as it was read" "$(cmp models/$file copy/$file 2>&1)"
done

# ---- translate ------------------------------------------------------------------------------------------------------------

said() {  # NAME EXPECTED-STATUS LINES WARNINGS COMMAND...: so many lines on stdout and on stderr
    name=$1 expected=$2 lines=$3 warnings=$4
    shift 4
    "$@" >printed 2>error
    status=$?
    problem=
    [ $status = "$expected" ] || problem="exit status $status, not $expected"
    [ "$(wc -l <printed)" -eq "$lines" ] || problem="$(wc -l <printed) lines, not $lines"
    [ "$(wc -l <error)" -eq "$warnings" ] || problem="$(wc -l <error) warnings, not $warnings"
    result "$name" "$problem"
}
many() { yes word | head -"$1" | tr '\n' ' '; }

{ printf 'i love you\n\n  \t\nI love you.\nthe zebra sees \033[2Jyou\n\377\000 \302\n'; many 501; printf '\n'; many 500; } >sentences
said 'a line for each line' 2 8 4 "$translate" models <sentences
result 'an empty line stays empty' "$(sed -n '2,3p;7p' printed | grep .)"
result 'capitals and a full stop do no harm' "$([ "$(sed -n 1p printed)" = "$(sed -n 4p printed)" ] || cat printed)"
result 'a word it does not know is named' "$(grep -qF 'sentence 5: words it has never read: zebra [2Jyou' error || echo not named)"
result 'no control character is repeated' "$(tr -d '\n -~\200-\377' <error)"
result 'a line that is too long is named' "$(grep -qF 'sentence 7: too long: at most 500 words' error || echo not named)"
cp printed before
"$translate" models <sentences 2>/dev/null | cmp -s before || result 'the same again' 'differs'
said 'a line of 3 MB' 2 1 1 sh -c "head -c 3000000 /dev/zero | tr '\\0' x | '$translate' models"
said 'words are one sentence' 0 1 0 "$translate" models i love you
result 'as in quotes' "$("$translate" models 'i love you' | diff printed -)"
said 'two sentences in quotes' 0 2 0 "$translate" models 'i love you' 'you love me'
said 'after -- all are sentences' 0 1 1 "$translate" models -- '--map it'
for model in fixed attention transformer; do
    said "--model $model" 0 1 0 "$translate" models --model $model 'i love you'
done
said '--map shows the words of the source' 0 "$("$translate" models --map 'i love you' | wc -l)" 0 "$translate" models --map 'i love you'
result 'with </s>' "$(sed -n 2p printed | grep -qE '^ +i +love +you +</s>$' || cat printed)"
said 'after -- there is no help' 0 1 1 "$translate" models -- -h
said '--help' 0 "$("$translate" --help | wc -l)" 0 "$translate" --help

said 'a long word that it does not know' 0 1 1 "$translate" models "$(printf '%1000s' '' | tr ' ' q)"
result 'is cut' "$([ "$(wc -c <error)" -lt 200 ] || cat error)"
mkfifo asked    # a dialogue: the answer comes before the next question
"$translate" models <asked >answers 2>error &
exec 3>asked
echo 'i love you' >&3
tenths=0
while [ ! -s answers ] && [ $tenths -lt 300 ]; do sleep 0.1 && tenths=$((tenths + 1)); done
result 'each answer is said at once' "$([ -s answers ] || echo 'nothing after 30 seconds')"
exec 3>&-
wait $!

refused 'a map of the fixed vector' 'does not look back' "$translate" models --model fixed --map 'i love you'
refused 'a folder for standard input' 'cannot read the standard input' sh -c "'$translate' models <out"
refused 'a name that is too long' 'File name too long' "$translate" "$(yes a | head -300 | tr -d '\n')" i
refused 'no folder' 'no folder given' "$translate"
refused 'a folder that is not there' 'nowhere: no models are there' "$translate" nowhere i
refused 'another model' '--model lstm: there are' "$translate" models --model lstm i
refused 'an unknown option' 'unknown option --mop' "$translate" models --mop

# ---- Files that cannot be used --------------------------------------------------------------------------------------------

cp models/transformer.safetensors copy/attention.safetensors
refused "another model's file" 'attention.safetensors: this is a model of the kind "Transformer", not "attention"' \
    "$translate" copy 'i love you'
head -c 5000 models/fixed.safetensors >copy/fixed.safetensors
refused 'half a file' 'fixed.safetensors: ' "$contrast" --quick --out out --load copy
size=$(wc -c <models/transformer.safetensors)
{ head -c $((size - 4)) models/transformer.safetensors; printf '\000\000\300\177'; } >copy/transformer.safetensors
refused 'NaN in the last weight' 'tensor "out.bias" holds nan at element' "$translate" copy --model transformer 'i love you'
{ head -c $((size - 4)) models/transformer.safetensors; printf '\000\000\200\377'; } >copy/transformer.safetensors
refused 'inf in the last weight' 'tensor "out.bias" holds -inf at element' "$translate" copy --model transformer 'i love you'
sed '$d' models/target.txt >copy/target.txt
refused 'a vocabulary with a word less' 'the vocabularies beside it' "$translate" copy --model transformer 'i love you'
{ sed -n 1,4p models/source.txt && sed 1,4d models/source.txt | sort -r; } >copy/source.txt
cp models/target.txt copy && cp models/transformer.safetensors copy
refused 'other words' 'are not those it was saved with' "$translate" copy --model transformer 'i love you'
sed 1d models/source.txt >copy/source.txt
refused 'a vocabulary without <pad>' 'source.txt:1: a vocabulary has <pad> here' "$translate" copy 'i love you'
refused '--save to a file' 'models/source.txt' "$contrast" --quick --out out --save models/source.txt

# ---- Checkpoints ----------------------------------------------------------------------------------------------------------

for part in 2 1 3 4 2; do    # Ctrl-C after so many tenths of that time: in each of the models
    "$contrast" --quick --steps 60 --out lives --checkpoint keep >/dev/null 2>error &
    sleep $(echo $time $part | awk '{ print $1 * $2 / 1e10 }')
    kill -INT $! 2>/dev/null && wait $!
done
"$contrast" --quick --steps 60 --out resumed --checkpoint keep --save kept >printed 2>error
result 'to go on after Ctrl-C' "$([ $? = 0 ] || echo "exit status $?")"
sed -i '/pictures and figures/d' printed trained
result 'an interrupted training ends as one that was not' "$(diff trained printed; cmp out/log.csv resumed/log.csv 2>&1)"
for model in fixed attention transformer; do
    result "the weights of $model, to the bit" "$(cmp models/$model.safetensors kept/$model.safetensors 2>&1)"
done
"$contrast" --quick --steps 100000 --out out --checkpoint crash >/dev/null 2>&1 &
tenths=0
while [ ! -s crash/fixed.checkpoint ] && [ $tenths -lt 600 ]; do sleep 0.1 && tenths=$((tenths + 1)); done
kill -KILL $! && wait $! 2>/dev/null
result 'a training is kept on its way' "$([ -s crash/fixed.checkpoint ] || echo 'nothing after a minute')"
"$contrast" --quick --steps 100000 --out out --save half >/dev/null 2>&1 &
sleep 1
kill -INT $! && wait $!
result 'half a training is not saved' "$(ls half)"
mkdir -p other && cp keep/fixed.checkpoint other/attention.checkpoint && cp keep/fixed.checkpoint other/fixed.checkpoint
refused 'a checkpoint of another model' \
    'other/attention.checkpoint: schedule was "120 steps, 4 shards, 0.02 in 100" and is "60 steps' \
    "$contrast" --quick --steps 60 --out out --checkpoint other
refused 'other steps' 'schedule was "120 steps, 4 shards, 0.02 in 100" and is "100 steps' \
    "$contrast" --quick --steps 50 --out out --checkpoint keep
refused 'another seed' 'fingerprint of the data and their order was' \
    "$contrast" --quick --steps 60 --seed 2 --out out --checkpoint keep
cp keep/fixed.checkpoint before
refused 'a disk that is full' 'keep/fixed.checkpoint: File too large: step 120 is not kept, what was kept before is as it was' \
    sh -c "ulimit -f 1000 && '$contrast' --quick --steps 60 --out out --checkpoint keep"
result 'the checkpoint before is still there' "$(cmp before keep/fixed.checkpoint 2>&1)"
result 'nothing else is left' "$(ls -A keep | grep -v checkpoint)"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
