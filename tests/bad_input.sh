#!/bin/sh
# bad_input.sh 12_contrast: what a user can get wrong gives one line on stderr that says what and where, and status 2.
set -u
program=$1
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 1
passed=0 failed=0

result() {  # NAME PROBLEM: counts a case, which fails if there is a problem
    if [ -z "$2" ]; then passed=$((passed + 1)) && return; fi
    failed=$((failed + 1))
    echo "$1: $2"
    cat error
}

refused() {  # NAME PHRASE OPTION...: the program must stop at once and say PHRASE
    name=$1 phrase=$2
    shift 2
    timeout 20 "$program" --quick "$@" >/dev/null 2>error
    status=$?
    problem=
    [ $status = 2 ] || problem="exit status $status, not 2"
    [ "$(wc -l <error)" -eq 1 ] || problem='not one line on stderr'
    grep -qF -e "$phrase" error || problem="no '$phrase' on stderr"
    result "$name" "$problem"
}

corpus() {  # makes the folder data, which is as it should be
    rm -rf data && mkdir data
    for file in train valid test-1 test-2; do
        printf 'the boy sees an island .\tle garçon voit une île .\ni sleep .\tje dors .\n' >data/$file.tsv
    done
}

bad_train() {  # NAME PHRASE TEXT: with a train.tsv of this text (printf's escapes)
    corpus
    printf "$3" >data/train.tsv
    refused "$1" "$2" --data data --out out
}

letters() { printf "%$1s" '' | tr ' ' a; }

refused 'no such folder' 'nowhere: no such folder' --data nowhere --out out
corpus
refused 'a file as the folder' 'train.tsv: ' --data data/train.tsv --out out
corpus && rm data/valid.tsv
refused 'no valid.tsv' 'valid.tsv: no such file' --data data --out out
corpus && rm data/test-*.tsv
refused 'no test file' 'no test*.tsv' --data data --out out
bad_train 'an empty file' 'train.tsv: the file is empty' ''
bad_train 'a line without a tab' 'train.tsv:2: no tab' 'hello .\tsalut .\nthe boy le garçon\n'
bad_train 'an empty side' 'train.tsv:1: the target sentence is empty' 'hello .\t\n'
bad_train 'no UTF-8' 'train.tsv:2: byte 4 of the line, 0xE9, is not UTF-8' 'hello .\tsalut .\ncaf\351\tcoffee\n'
bad_train 'a control character' 'train.tsv:1: byte 6' 'hello\033[2J\tsalut\n'
bad_train 'a token of 1,001 bytes' 'train.tsv:2: a token of 1001 bytes' "a\\tb\\n$(letters 1001)\\tb\\n"
corpus && printf '0-0 9-0\n\n' >data/test-1.align
refused 'a link outside its pair' 'test-1.align:1: the link 9-0' --data data --out out
corpus && printf '0-0\n' >data/test-1.align
refused 'too few alignments' 'test-1.align: 1 lines for 2 pairs' --data data --out out

corpus && printf 'a\tb\n%s\tb\n' "$(yes a | head -1024 | tr '\n' ' ')" >data/test-2.tsv
refused 'a sentence beyond the positions' 'data/test-2.tsv: pair 2 has 1025 tokens with </s>' --data data --out out
bad_train 'a control character of two bytes' 'train.tsv:1: byte 6' 'hello\302\2332J\tsalut\n'

corpus && printf 'zwei drei\tx\n' >data/test-2.tsv
refused 'another language' 'data/test-2.tsv: the model knows less than half of the words' --data data --out out
refused 'no models' 'data: no models are there' --load data --out out
refused 'an unknown option' 'unknown option --stepps: did you mean --steps?' --stepps 3
refused 'no option' "unexpected argument 'fast'" fast
refused '--steps -1' '--steps -1: must be a whole number from 1' --steps -1
refused '--steps many' '--steps many: must be a whole number' --steps many
refused '--threads 0' '--threads 0: must be a whole number from 1' --threads 0
refused '--seed without a value' '--seed: no value given' --seed

# Permission bits do not stop root, so the folders are such as nobody can make.
echo text >file
refused '--out a file' 'file' --out file
refused '--out below a file' 'file/out' --out file/out
refused '--out in /proc' '/proc/out' --out /proc/out
refused '--out a full device' '/dev/full' --out /dev/full

# Windows' line ends and byte order mark change nothing.
export LOOKBACK_TRANSCRIPT=1
corpus && printf '%s\tb\n' "$(letters 1000)" >>data/train.tsv
"$program" --quick --steps 2 --data data --out out >plain 2>error
status=$?
[ -s plain ] || status='not to be, for nothing is printed'
result 'a corpus of the user, with a token of 1,000 bytes' "$([ "$status" = 0 ] || echo "exit status $status")"
for file in data/*.tsv; do
    { printf '\357\273\277' && sed "s/\$/$(printf '\r')/" "$file"; } >windows && mv windows "$file"
done
"$program" --quick --steps 2 --data data --out out 2>error | diff plain - >difference
result 'CRLF and a byte order mark' "$(cat difference)"

# The longest sentence that can be read, by models that may say anything: they neither say too much nor draw what was not said.
corpus && printf 'i sleep\tb\n%s\tb\n' "$(yes boy | head -1023 | tr '\n' ' ')" >data/test-2.tsv
for seed in 3 7; do
    rm -rf out
    "$program" --quick --steps 1 --seed $seed --data data --out out >printed 2>error
    result "a model that has learned nothing, seed $seed" "$([ $? = 0 ] && [ -s out/results.json ] || echo 'no results')"
done
mv data/test-2.tsv data/test-difficult.tsv
"$program" --quick --steps 1 --data data --out out >printed 2>error
result 'tests of your own are told by name' "$(grep -q 'exact match by test$' printed && grep -q '     1 difficult$' printed || cat printed)"
"$program" --quick --steps 1 --data data --out early 2>error | head -3 >printed    # all that is said before the training
result 'a reader that goes away' "$([ -s early/results.json ] || echo 'no results')"

# Ctrl-C while it trains: what was learned so far is examined and printed.
corpus
"$program" --data data --out out --steps 1000000 --threads 2 >printed 2>error &
sleep 1
kill -INT $!
wait $!
status=$?
problem=
[ $status = 130 ] || problem="exit status $status, not 130"
grep -q '^fixed vector' printed || problem='no score of what was learned'
result 'Ctrl-C' "$problem"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
