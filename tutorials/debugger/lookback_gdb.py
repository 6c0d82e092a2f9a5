"""Commands for gdb that show tensors and gradients: source this file, or start tutorials/debugger/bin/gdb. README.md is the guide."""

import os
import sys

import gdb

sys.dont_write_bytecode = True    # nothing is written beside these files
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

for setting in ('breakpoint pending on', 'print object on', 'print static-members off', 'pagination off', 'print thread-events off'):
    gdb.execute('set ' + setting)
# `step` goes into the program's functions and the ops, not into the standard library.
gdb.execute(r'skip -rfu ^(std|__gnu_cxx|fmt)::', to_string=True)
gdb.execute('skip -gfi */lookback/tensor/tensor.h', to_string=True)
gdb.execute('skip -gfi */lookback/tensor/node.h', to_string=True)
gdb.execute(r'skip -rfu ^lookback::Tensor::(data|grad|shape|size|rank)', to_string=True)
gdb.execute('skip -rfu ^lookback::Node::(grad_of|growing_grad)', to_string=True)
gdb.execute('skip -gfi */tensor/watch.h', to_string=True)
gdb.execute('skip -fu lookback::kernels::use_reference', to_string=True)

import lookback_gdb_printers  # noqa: E402
import lookback_gdb_commands  # noqa: E402
import lookback_gdb_running  # noqa: E402,F401
import lookback_gdb_stops  # noqa: E402,F401
import lookback_gdb_alone  # noqa: E402,F401
import lookback_gdb_windows  # noqa: E402,F401

lookback_gdb_commands.Lookback()
