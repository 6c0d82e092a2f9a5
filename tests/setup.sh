#!/bin/sh
# setup.sh TUTORIALS: what setup.sh and run.sh decide before anything is built.
set -u
tutorials=$1 root=$(mktemp -d) && trap 'rm -rf "$root"' EXIT
. "$tutorials/setup.sh"
passed=0 failed=0
check() {  # NAME EXPECTED GOT
    if [ "$2" = "$3" ]; then passed=$((passed + 1)) && return; fi
    failed=$((failed + 1))
    printf '%s: expected\n%s\nnot\n%s\n' "$1" "$2" "$3"
}

parts='g++ meson ninja pkg-config fmt doctest gdb'
check 'Debian' 'g++ meson ninja-build pkg-config libfmt-dev doctest-dev gdb' "$(packages apt-get $parts)"
check 'Fedora' 'gcc-c++ meson ninja-build pkgconf-pkg-config fmt-devel doctest-devel gdb' "$(packages dnf $parts)"
check 'Arch' 'gcc meson ninja pkg-config fmt doctest gdb' "$(packages pacman $parts)"
check 'Homebrew' 'llvm meson ninja pkg-config fmt doctest gdb' "$(packages brew $parts)"

compiler() {  # KIND VERSION: whether one like that is new enough
    printf '#!/bin/sh\ncase $1 in -dumpversion) echo %s ;; *) echo "%s version" ;; esac\n' "$2" "$1" >"$root/c++" && chmod +x "$root/c++"
    is_new_compiler "$root/c++" && echo yes || echo no
}
check 'compilers' 'no yes yes no yes' "$(echo $(compiler g++ 11) $(compiler g++ 12) $(compiler g++ 13.2.0) $(compiler clang 13.0.1) $(compiler clang 14.0.6))"

sh "$tutorials/run.sh" 99 >"$root/said" 2>&1
check 'no such tutorial' "2 lookback: no tutorial '99': sh tutorials/run.sh list shows them all" "$? $(cat "$root/said")"
check 'the list' "$(ls "$tutorials"/[0-9][0-9]_*.cpp | wc -l) 08 additive_attention  What if the decoder may look back?  (about 20 s)" \
    "$(sh "$tutorials/run.sh" list | wc -l) $(sh "$tutorials/run.sh" list | grep ^08)"
check '--help' "$(sh "$tutorials/run.sh" --help)" "$(sh "$tutorials/run.sh" -h)"
sh "$tutorials/run.sh" --help | grep -q '^usage: sh tutorials/run.sh' || check 'the usage' yes no

echo "$passed passed, $failed failed"
[ $failed = 0 ]
