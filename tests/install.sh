#!/bin/sh
# install.sh BUILD: installs the library into an empty folder; a program outside the tree finds it there by pkg-config.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
DESTDIR=$folder meson install -C "$1" --no-rebuild --quiet

cat >"$folder/program.cpp" <<'END'
#include <lookback/ops/elementwise.h>
#include <lookback/ops/shape.h>

#include <cstdio>

int main() {
    lookback::Tensor x({3}, {1, 2, 3});
    x.requires_grad();
    lookback::backward(lookback::sum(x * x));
    std::printf("%g %g %g\n", x.grad()[0], x.grad()[1], x.grad()[2]);
}
END
pc=$(find "$folder" -name lookback.pc)
PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$folder
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
cd "$folder"
${CXX:-c++} -std=c++20 program.cpp $(pkg-config --cflags --libs lookback) -o program
[ "$(./program)" = '2 4 6' ]
echo '1 passed, 0 failed'
