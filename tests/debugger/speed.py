"""In gdb, on a graph of 5,000 ops: each command answers within 0.2 s. Counted is the processor time of gdb and of the program, which
some commands call, the better of two runs, so that other work on the machine does not show.

    tutorials/debugger/bin/gdb -batch -x speed.py --args states large
"""

import os
import time

import gdb
import lookback_gdb_program

passed = failed = 0


def used():
    """Seconds that gdb and the program have worked."""
    with open('/proc/%d/stat' % gdb.selected_inferior().pid, encoding='utf-8') as stat:
        user, system = stat.read().rsplit(') ', 1)[1].split()[11:13]
    return time.process_time() + (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')


def answers(commands, runs=2):
    global passed, failed
    for command in commands:
        taken = []
        for _ in range(runs):
            lookback_gdb_program.forget()    # what variables are called is found once a stop
            begin = used()
            gdb.execute(command, to_string=True)
            taken.append(used() - begin)
        passed, failed = passed + (min(taken) < 0.2), failed + (min(taken) >= 0.2)
        print('%-30s %.3f s%s' % (command, min(taken), '' if min(taken) < 0.2 else ': too slow'))


gdb.execute('break lookback::backward', to_string=True)
gdb.execute('run', to_string=True)
answers(['tape', 'backstep', 'backstep tanh', 'locals'])
answers(['to-backward #4900'], runs=1)    # each op that is passed takes some 0.4 ms
gdb.execute('delete')
gdb.execute('break lookback_backward_done', to_string=True)
gdb.execute('continue', to_string=True)
answers(['tape', 'tape tanh', 'tensor x', 'tensor #4000', 'grad x', 'heat x', 'heat -g #4000', 'graph loss', 'origin loss', 'locals', 'pin x',
         'why-nan loss', 'tensors', 'print *lookback::node_chains[0].newest', 'backtrace', 'check #2500', 'explain #4990 1 1', 'watch-grad x 0 0',
         'print $gnorm("loss")'])
gdb.execute('kill')
print('%d passed, %d failed' % (passed, failed))
gdb.execute('quit %d' % (failed > 0))
