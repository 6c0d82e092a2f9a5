#!/bin/sh
# golden.sh GOLDEN CASES: golden must see what is wrong, and go on: each spoilt case is a failed line, never a skip or a crash.
set -u
golden=$1 cases=$2
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 1
passed=0 failed=0
export LC_ALL=C    # sed works on bytes

spoilt() {  # NAME PHRASE CASE FILTER...: beside a good case stands CASE as the filter leaves it; golden must say PHRASE of it
    name=$1 phrase=$2 case=$3
    shift 3
    rm -rf spoilt && mkdir spoilt && cp "$cases/add_same.safetensors" spoilt/a_good_one.safetensors
    "$@" <"$cases/$case.safetensors" >"spoilt/$case.safetensors"
    "$golden" spoilt >printed 2>&1
    status=$?
    if [ $status = 1 ] && grep -qF -e "$phrase" printed && [ "$(sed -n '1p;$p' printed)" = 'ok a_good_one
1 passed, 1 failed' ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: exit status $status"
        cat printed
    fi
}

spoilt 'an unknown operation' 'unknown operation "sup"' sub_same sed 's/"op": "sub"/"op": "sup"/'
spoilt 'another operation' 'sub_same: out.y[0, 7]: got 3.47588134, expected -0.272197723' sub_same sed 's/"sub"/"mul"/'
spoilt 'a gradient of nothing' 'grad.z was not computed' sub_same sed 's/"grad\.b/"grad.z/'
spoilt 'an input too many' 'in.z was not used' softmax sed 's/"gout\.y":/"in.z":  /'
spoilt 'a missing weight' 'the case has no param.weight' linear sed 's/"param\.weight/"param.weighs/'
spoilt 'another shape' 'param.bias is (1, 3)' linear sed 's/"shape": \[3\], /"shape":[1,3],/'
spoilt 'no number' 'heads is "x", no number' multihead_cross sed 's/"heads": "2"/"heads": "x"/'
spoilt 'no head' 'cannot be cut into 0 heads' multihead_cross sed 's/"heads": "2"/"heads": "0"/'
spoilt 'positions without end' 'out.y is (5, 8)' sinusoidal_positions sed 's/"length": "5", /"length": "99",/'
spoilt 'an output that is too small' 'out.y[4, 7]: got 0.999992013, expected 2' sinusoidal_positions sh -c "head -c -4; printf '\\0\\0\\0\\100'"
spoilt 'as many numbers in another shape' 'out.y is (2, 8), expected (8, 2)' \
    sub_same sed 's/"out\.y": {"dtype": "F32", "shape": \[2, 8\]/"out.y": {"dtype": "F32", "shape": [8, 2]/'
spoilt 'half a file' 'is it truncated?' gru head -c 3000
spoilt 'no file of this kind' 'no safetensors file' gru tr '\000-\377' x

echo "$passed passed, $failed failed"
[ $failed = 0 ]
