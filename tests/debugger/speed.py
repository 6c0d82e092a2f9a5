"""In gdb, on a graph of 5,000 ops: each command answers within 0.2 s. Counted is gdb's own processor time, the better of two runs,
so that other work on the machine does not show.

    tutorials/debugger/bin/gdb -batch -x speed.py --args states large
"""

import time

import gdb
import lookback_gdb_program

gdb.execute('break lookback_backward_done', to_string=True)
gdb.execute('run', to_string=True)
passed = failed = 0
for command in ('tape', 'tape tanh', 'tensor x', 'tensor #4000', 'grad x', 'heat x', 'heat -g #4000', 'graph loss', 'origin loss', 'locals',
                'why-nan loss', 'tensors', 'print *lookback::newest_node', 'backtrace', 'check #2500', 'explain #4990 1 1', 'watch-grad x 0 0',
                'print $gnorm("loss")'):
    taken = []
    for _ in range(2):
        lookback_gdb_program.forget()    # what variables are called is found once a stop
        begin = time.process_time()
        gdb.execute(command, to_string=True)
        taken.append(time.process_time() - begin)
    passed, failed = passed + (min(taken) < 0.2), failed + (min(taken) >= 0.2)
    print('%-30s %.3f s%s' % (command, min(taken), '' if min(taken) < 0.2 else ': too slow'))
gdb.execute('kill')
print('%d passed, %d failed' % (passed, failed))
gdb.execute('quit %d' % (failed > 0))
