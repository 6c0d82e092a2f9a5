#!/bin/sh
# check.sh GOLDEN 12_CONTRAST SAY_LOGITS: the numbers of PyTorch itself, where it is installed. New golden cases are made and
# compared, and the models that 12_contrast saves are loaded into their PyTorch twins and back. Without PyTorch it is skipped.
set -u
golden=$1 contrast=$2 say_logits=$3
scripts=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P)
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 1
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1

for python in python3 /usr/bin/python3; do    # another python3 may stand before the one that Debian's packages are for
    "$python" -c 'import torch' 2>error && break
    python=
done
if [ -z "$python" ]; then
    echo "skipped: $(tail -n 1 error) (Debian: apt-get install python3-torch)"
    exit 77
fi

passed=0 failed=0
count() {  # what a program printed in its last line, `N passed, N failed`
    sed '$d' printed
    tally=$(tail -n 1 printed | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
    set -- ${tally:-0 1}
    passed=$((passed + $1)) failed=$((failed + $2))
}
"$python" "$scripts/make_golden.py" cases "${SEED:-1}" || exit 1
"$golden" cases | grep -v '^ok ' >printed
count
"$contrast" --quick --steps 40 --out out --save models >/dev/null || exit 1
"$python" "$scripts/check_state_dict.py" models "$say_logits" >printed
count
echo "$passed passed, $failed failed"
[ $failed = 0 ]
