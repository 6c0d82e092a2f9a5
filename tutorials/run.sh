#!/bin/sh
# Builds one tutorial and runs it; see usage below.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"

usage() {
    cat <<END
usage: sh tutorials/run.sh [NN] [--debug] [options]

  NN         the tutorial to run: 8, 08 or 08_additive_attention (12, the main one)
  --debug    start it in gdb, with commands for tensors and gradients: tutorials/debugger/README.md
  options    are passed to the tutorial; sh tutorials/run.sh NN --help explains them
  list       shows all tutorials with their question and time
  translate  is the tool that translates with a model which 12 --save DIR has trained; see translate --help
  --help     this text
END
}

# The first line of each program is its entry: // 08 additive_attention: The question?  (about 20 s)
list() {
    for source in "$root"/tutorials/[0-9][0-9]_*.cpp; do
        sed -n '1s,^// *,,p' "$source"
    done | awk -F ': ' '{ question = $0; sub(/^[^:]*: /, "", question); printf "%-22s %s\n", $1, question }'
}

tutorial=12
case ${1-} in
-h | --help) usage && exit ;;
list) list && exit ;;
'' | -*) ;;
*) tutorial=$1 && shift ;;
esac

program=
for source in "$root/tutorials/$tutorial".cpp "$root/tutorials/0$tutorial"_*.cpp "$root/tutorials/$tutorial"_*.cpp \
    "$root/tutorials"/*_"$tutorial".cpp "$root/tutorials/debugger/$tutorial".cpp; do
    if [ -f "$source" ]; then program=$(basename "$source" .cpp) && break; fi
done
if [ -z "$program" ]; then
    say "no tutorial '$tutorial': sh tutorials/run.sh list shows them all"
    exit 2
fi

debug=
one_thread='--threads 1'    # so that one steps through one thread
if [ "$program" = translate ]; then one_thread=; fi    # it has but one
for option; do
    shift
    case $option in
    --debug) debug=yes && continue ;;
    --threads | --threads=*) one_thread= ;;
    esac
    set -- "$@" "$option"
done
if [ -n "$debug" ]; then
    install_missing gdb
    configure "$root/.build/debug" --buildtype=debug
    build "$root/.build/debug" "tutorials/$program"
    exec "$root/tutorials/debugger/bin/gdb" -ex 'break lookback::backward' \
        -ex 'echo Type run: it stops at the first backward pass; tape, backstep, help lookback\n' \
        --args "$root/.build/debug/tutorials/$program" $one_thread "$@"
fi

configure "$root/.build/release"
build "$root/.build/release" "tutorials/$program"
exec "$root/.build/release/tutorials/$program" "$@"
