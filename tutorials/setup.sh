# Sourced by tutorials/run.sh and tests/run.sh, which set $root, the checkout: finds or installs what a build needs, and
# configures and builds. POSIX sh. Speaks on stderr, and only when there is something to do.

# An object that ccache kept from another folder would lead a debugger to that folder's sources, which may be gone.
export CCACHE_HASHDIR=1
# Where it may keep nothing (no home, or somebody else's), each compile would fail.
kept=$(ccache --get-config cache_dir 2>/dev/null) && mkdir -p "$kept" 2>/dev/null && [ -w "$kept" ] || export CCACHE_DISABLE=1
asked_for=${CXX-}

say() { printf 'lookback: %s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# COMMAND...: a C++ compiler that knows C++20 well enough: g++ 12 or clang++ 14.
is_new_compiler() {
    version=$("$@" -dumpversion 2>/dev/null) || return 1
    least=12
    case $("$@" --version) in *clang*) least=14 ;; esac
    [ "${version%%.*}" -ge "$least" ]
}

# $CXX counts where it is set. g++ is Meson's own choice (and then it finds ccache), so only clang++ must be named.
find_compiler() {
    if [ -n "${CXX-}" ]; then
        is_new_compiler $CXX
    elif ! is_new_compiler g++; then
        is_new_compiler clang++ && export CXX=clang++
    fi
}

has_header() { echo "#include <$1>" | ${CXX:-g++} -E -x c++ - >/dev/null 2>&1; }

# [doctest | gdb]: what is missing to build, with the tests or for the debugger, one name a line.
missing_parts() {
    find_compiler || echo g++
    case $(meson --version 2>/dev/null) in '' | 0.*) echo meson ;; esac
    command -v ninja >/dev/null || echo ninja
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --atleast-version=9 fmt 2>/dev/null || echo fmt
    if [ "${1-}" = doctest ]; then has_header doctest/doctest.h || echo doctest; fi
    if [ "${1-}" = gdb ]; then command -v gdb >/dev/null || echo gdb; fi
}

# MANAGER PART...: the parts' packages in the words of a package manager, on one line.
packages() {
    manager=$1
    shift
    for part; do
        case $manager-$part in
        apt-get-ninja | dnf-ninja) echo ninja-build ;;
        apt-get-fmt | apt-get-doctest) echo "lib$part-dev" | sed 's/libdoctest/doctest/' ;;
        dnf-g++) echo gcc-c++ ;;
        dnf-pkg-config) echo pkgconf-pkg-config ;;
        dnf-fmt | dnf-doctest) echo "$part-devel" ;;
        pacman-g++) echo gcc ;;
        brew-g++) echo llvm ;;
        *) echo "$part" ;;
        esac
    done | tr '\n' ' ' | sed 's/ $//'
}

# PACKAGE...: as root, or with sudo where it needs no password or can ask for it on a terminal.
apt_install() {
    sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || return 1
        sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ]; } || return 1
        sudo=sudo
    fi
    mkdir -p "$root/.build" || return 1
    say "installing $* with ${sudo:+sudo }apt-get"
    apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120"
    { $apt update && $apt install --no-install-recommends "$@"; } >"$root/.build/apt.log" 2>&1 </dev/null 9>&- ||
        { tail -n 5 "$root/.build/apt.log" >&2; return 1; }
}

# [doctest | gdb]: makes sure that everything is there to build with, or says in one line what to install and ends.
install_missing() {
    [ -z "${CXX-}" ] || find_compiler || fail "CXX=$CXX: there is no such compiler, or it is older than g++ 12 or clang++ 14"
    parts=$(missing_parts "$@")
    [ -n "$parts" ] || { find_compiler; return 0; }
    for manager in apt-get dnf pacman brew none; do
        command -v $manager >/dev/null && break
    done
    names=$(packages $manager $parts)
    case $manager in
    apt-get)
        apt_install $names || fail "please install what is missing: sudo apt-get install $names"
        parts=$(missing_parts "$@" | tr '\n' ' ')
        [ -z "$parts" ] || fail "too old here: ${parts}(needed: g++ 12 or clang++ 14, meson 1.0, fmt 9)"
        find_compiler
        ;;
    dnf) fail "please install what is missing: sudo dnf install $names" ;;
    pacman) fail "please install what is missing: sudo pacman -S $names" ;;
    brew) fail "please install what is missing: brew install $names" ;;
    *) fail "please install what is missing:" $parts "(needed: g++ 12 or clang++ 14, meson 1.0, ninja, fmt 9)" ;;
    esac
}

# COMMAND...: one at a time of those that configure or build in this checkout.
one_at_a_time() {
    if ! command -v flock >/dev/null || ! mkdir -p "$root/.build" 2>/dev/null || ! [ -w "$root/.build" ]; then
        "$@"
        return
    fi
    (
        flock -n 9 || { say 'waiting for another build here' && flock 9; }
        "$@"
    ) 9>"$root/.build/lock"
}

configure() { one_at_a_time configure_alone "$@"; }
build() { one_at_a_time build_alone "$@"; }

# What a build folder depends on: the place, the compiler and the processor (-march=native).
made_for() {
    echo "$root $asked_for $(${asked_for:-c++} -dumpfullversion 2>/dev/null)" \
        "$(sed -n '/^flags\|^Features/{p;q;}' /proc/cpuinfo 2>/dev/null | cksum)"
}

# BUILD [doctest] OPTION...: configures the folder with Meson, unless that is done. A folder that was made by another
# Meson, or for anything else, is made anew.
configure_alone() {
    build=$1
    shift
    doctest=
    if [ "${1-}" = doctest ]; then doctest=doctest && shift; fi
    case $root in *[\"\\]* | *"
"*) fail "a path with a quote, a backslash or a line break cannot be built in: $root" ;; esac
    if [ "$(cat "$build/made_for" 2>/dev/null)" = "$(made_for)" ] && ninja -C "$build" build.ninja >/dev/null 2>&1; then
        return
    fi
    mkdir -p "$root/.build" 2>/dev/null && [ -w "$root/.build" ] || fail "cannot write the folder $root/.build"
    install_missing $doctest
    rm -rf "$build"
    meson setup "$build" "$root" "$@" >"$build.log" 2>&1 || {
        cat "$build.log" >&2
        fail "meson cannot configure the folder $build"
    }
    made_for >"$build/made_for"
}

# BUILD TARGET: builds with ninja; a failure shows what the compiler said.
build_alone() {
    if ninja -C "$1" -n "$2" | grep -q 'no work to do'; then return; fi
    [ -w "$1" ] || fail "cannot write the folder $1"
    say "building $2"
    if [ -t 2 ]; then
        ninja -C "$1" "$2" >&2
    else
        ninja -C "$1" "$2" >"$1.log" 2>&1 || { cat "$1.log" >&2; return 1; }
    fi
}
