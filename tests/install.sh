#!/bin/sh
# install.sh BUILD README.md: what `meson install` puts into an empty folder is enough for the README's program, which finds the library
# there by pkg-config and prints what the README says.
set -eu
build=$1 readme=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
DESTDIR=$folder meson install -C "$build" --no-rebuild --quiet

# The first ```cpp block, and the first ``` block.
awk '/^```$/ { on = 0 } on; /^```cpp$/ { on = 1 }' "$readme" >"$folder/program.cpp"
awk '/^```/ { if (on) exit; on = !inside && $0 == "```"; inside = !inside; next } on' "$readme" >"$folder/expected"
pc=$(find "$folder" -name lookback.pc)
PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$folder
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
cd "$folder"
${CXX:-c++} -std=c++20 program.cpp $(pkg-config --cflags --libs lookback) -o program
./program >printed
[ -s expected ] || echo 'the README shows no output'
diff -u expected printed
echo '1 passed, 0 failed'
