#!/bin/sh
# sh tests/fuzz/run.sh BUILD [RUNS [TARGET...]]: gives the readers of files what nobody would write, under ASan and UBSan: RUNS files
# each, or as many as go in 2 seconds. Needs clang++ with libFuzzer. The readers are compiled with instruments, all else comes from
# the build's liblookback.a, which must have none. BUILD/tests/fuzz keeps the files that failed.
set -u
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd -P)
build=$(CDPATH= cd -- "$1" && pwd -P) || exit 1
limit='-max_total_time=2 -timeout=10'
if [ $# -gt 1 ]; then limit="-runs=$2 -timeout=3600" && shift; fi    # a long run may be suspended
shift
targets=${*:-pairs alignments vocabulary safetensors checkpoint}
place=$build/tests/fuzz
library=$build/src/liblookback.a
mkdir -p "$place" && cd "$place" || exit 1

skip() {
    echo "skipped: $*"
    exit 77
}
echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' >probe.cpp
clang++ -fsanitize=fuzzer,address,undefined probe.cpp -o probe 2>probe.log || skip 'no clang++ with libFuzzer'
[ -e "$library" ] || skip "no $library"
if nm "$library" 2>/dev/null | grep -q ' __asan_init\| __tsan_init'; then skip 'this build has instruments of its own'; fi

# ninja compiles what has changed.
checks=address,undefined,float-cast-overflow
escaped() { printf '%s' "$1" | sed 's/[$: ]/$&/g'; }    # a path in ninja's words
{
    echo "flags = -std=c++20 -O2 -gline-tables-only '-I$root/include' '-I$root/src' '-I$root/tests/fuzz' -ffp-contract=off" \
        "-fno-omit-frame-pointer -fsanitize=fuzzer-no-link,$checks -fno-sanitize-recover=all '-DLOOKBACK_SOURCE=\"$root\"'" \
        "$(pkg-config --cflags fmt)"
    echo 'rule compile'
    echo '  command = '"$(command -v ccache)"' clang++ $flags -MMD -MF $out.d -c $in -o $out'
    echo '  depfile = $out.d'
    echo '  deps = gcc'
    echo 'rule link'
    echo "  command = clang++ -fsanitize=fuzzer,$checks \$in -o \$out $(pkg-config --libs fmt) -pthread"
    objects=
    for source in src/program/json src/io/safetensors src/io/checkpoint src/text/corpus src/text/vocabulary src/text/batch src/program/file; do
        object=$(basename $(dirname $source))_$(basename $source).o
        objects="$objects $object"
        echo "build $object: compile $(escaped "$root/$source.cpp")"
    done
    echo "build fuzz.o: compile $(escaped "$root/tests/fuzz/fuzz.cpp")"
    for target in pairs alignments vocabulary safetensors checkpoint; do
        echo "build $target.o: compile $(escaped "$root/tests/fuzz/$target.cpp")"
        echo "build fuzz_$target: link $target.o fuzz.o$objects $(escaped "$library")"
    done
} >build.ninja.new
cmp -s build.ninja.new build.ninja || cp build.ninja.new build.ninja
ninja $(printf 'fuzz_%s ' $targets) >build.log 2>&1 || { cat build.log && echo '0 passed, 1 failed' && exit 1; }

# The files lie in memory where that can be.
TMPDIR=$(mktemp -d /dev/shm/lookback-fuzz-XXXXXX 2>/dev/null || mktemp -d) && export TMPDIR || exit 1
trap 'rm -rf "$TMPDIR"' EXIT
passed=0 failed=0
for target in $targets; do
    mkdir "$TMPDIR/$target"
    "./fuzz_$target" --seeds="$TMPDIR/$target"
    # Longer files are more of the same: a token may have 1,000 bytes, and the seeds' checkpoints have 1,040. 64 MB at once are more
    # than any file here may ask for.
    if "./fuzz_$target" $limit -seed=1 -malloc_limit_mb=64 -rss_limit_mb=1024 -max_len=1100 -print_final_stats=1 \
        -artifact_prefix=$target- "$TMPDIR/$target" >$target.log 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        grep -v '^#' $target.log | head -40
    fi
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' $target.log) files"
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
