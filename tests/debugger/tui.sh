#!/bin/sh
# sh tui.sh PROGRAM: `layout lookback` in a terminal of 140 x 46: source, tape and values beside each other, made anew at each step.
set -eu
tools=$(CDPATH= cd -- "$(dirname -- "$0")/../../tutorials/debugger/bin" && pwd -P)
command -v tmux >/dev/null || { echo 'skipped: tmux is not installed' && exit 77; }
command -v gdb >/dev/null || { echo 'skipped: gdb is not installed' && exit 77; }

name=lookback_tui_$$
screen() { tmux -L "$name" capture-pane -p; }
trap 'tmux -L "$name" kill-server 2>/dev/null || true' EXIT
LC_ALL=C.UTF-8 HOME=/nonexistent tmux -L "$name" -f /dev/null new-session -d -x 140 -y 46 \
    "'$tools/gdb' -ex 'break lookback::backward' --args '$1' --threads 1 --quick"

# TEXT: waits until the screen shows it; a machine at work needs some seconds.
await() {
    for _ in $(seq 150); do
        if screen | grep -qF -- "$1"; then return; fi
        sleep 0.2
    done
    echo "NOT on the screen: $1" && screen
    echo '0 passed, 1 failed' && exit 1
}
typed() { tmux -L "$name" send-keys "$1" Enter; }

await 'Breakpoint 1 at'
typed 'run --threads 1 --quick > /dev/null' && await 'Breakpoint 1, lookback::backward'
typed 'layout lookback' && await '─tape─' && await '─values─'
typed 'pin look.weights' && await 'is pinned'
typed 'backstep masked_softmax' && await '=>  3.242 #10 look.weights' && await '0.6873'
typed 'next' && await 'y = look.weights (1, 4) in 0 .. 0.6873'
typed 'next' && await 'dx = dlook.scores (1, 4) in 0 .. 0, norm 0'
typed 'finish' && await 'input.node->fill_grad();'
typed 'pin' && typed 'layout src' && typed 'kill'
echo '1 passed, 0 failed'
