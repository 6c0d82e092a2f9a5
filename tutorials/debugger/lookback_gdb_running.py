"""The commands that let the program run on to an op's backward pass."""

import contextlib
import re

import gdb

import lookback_gdb_program as program
import lookback_text as text
from lookback_gdb_commands import Command, show
from lookback_nodes import Node, Unreadable, shape_text

GATE = 'lookback::run_backward_of'


# ---- On to an op --------------------------------------------------------------------------------------------------------------

class Gate(gdb.Breakpoint):
    """Stops where the backward pass of a wanted op begins."""

    def __init__(self, wanted, thread=None):
        super().__init__(GATE, internal=True)
        self.silent, self.wanted, self.thread_wanted, self.node = True, wanted, thread, None

    def stop(self):
        if self.thread_wanted and gdb.selected_thread().num != self.thread_wanted:
            return False
        node = program.at_work()
        if node is None or node.is_leaf and not self.takes_leaves or not self.wanted(node):
            return False
        self.node, self.hit_in = node, gdb.selected_thread()
        return True

    takes_leaves, hit_in = False, None


def run_to(wanted, leaves=False):
    """Lets the program run to the gate of the first op that is wanted. Its Node, or None if something else stopped it."""
    program.need_running()
    memory = program.memory()
    thread = gdb.selected_thread()
    in_pass = program.backward_run() is not None
    gate = Gate(wanted, thread.num if thread and in_pass else None)
    gate.takes_leaves = leaves
    try:
        gdb.execute('continue')
    finally:
        found = gate.node if gdb.selected_inferior().pid and gate.is_valid() and gate.hit_in == gdb.selected_thread() else None
        if gate.is_valid():
            gate.delete()
    return Node(memory, found.address) if found else None


def at_gate():
    frame = gdb.newest_frame()
    place = frame.find_sal()
    return frame.name() == GATE and place.pc == frame.pc() and frame.function() is not None and place.line == frame.function().line + 1


def enter(node):
    """From the gate into the op's own backward(), where the build has its lines."""
    if not node.is_leaf and gdb.newest_frame().find_sal().symtab is not None:
        locking = gdb.parameter('scheduler-locking')
        gdb.execute('set scheduler-locking on')    # another thread could stop meanwhile
        try:
            gdb.execute('step')
        finally:
            gdb.execute('set scheduler-locking ' + locking)
    names = program.names()
    show('backward of %s  made at %s' % (names.node(node), text.made_at(node)),
         '  arrives %s: %s' % (names.gradient(node), text.Stats(node.gradients()).line()))


def passed_text(node):
    names, parts = program.names(), []
    for address in dict.fromkeys(node.inputs):
        below = Node(node.memory, address)
        if below.requires_grad and below.grad:
            parts.append('%s %s norm %s' % (names.gradient(below), shape_text(below.shape), text.norm_text(below.gradients())))
    return 'done: #%d %s -> %s' % (node.id, node.op, ', '.join(parts[:4] + ['...'] * (len(parts) > 4)) or 'nothing')


class Backstep(Command):
    usage = 'backstep [OP | #N] [COUNT]'
    what = "on into the next op's backward pass, the next of that kind, or the COUNT-th; what the op just left is shown"
    example = 'backstep masked_softmax'

    def run(self, argument):
        words = argument.split()
        count = int(words.pop()) if words and words[-1].isdecimal() else 1
        kind = words.pop() if words else ''
        if words or count < 1 or not re.fullmatch(r'(#\d+|[A-Za-z_]\w*)?', kind):
            raise Unreadable("'backstep', 'backstep softmax', 'backstep softmax 3' or 'backstep #12'")
        left = program.current_op() if program.backward_run() else None
        if not kind and count == 1 and left is not None and at_gate():
            return enter(left)
        seen = 0

        def wanted(node):
            nonlocal seen
            if left is not None and node.address == left.address:
                return False
            seen += kind in ('', node.op, '#%d' % node.id)
            return seen == count

        node = run_to(wanted)
        if left is not None and not left.is_leaf and count == 1 and not kind:
            with contextlib.suppress(Unreadable):
                show(passed_text(Node(left.memory, left.address)))
        if node is not None:
            enter(node)
        else:
            how = 'stopped here' if gdb.selected_inferior().pid else 'ended'
            show('the program %s before %s' % (how, ' '.join(argument.split()) or 'another op'))


class ToBackward(Command):
    usage = 'to-backward [E]'
    what = 'from an op in its forward pass, or any tensor, on to the backward pass of the same'
    example = 'to-backward scores'

    def run(self, argument):
        node, _ = program.resolve(argument)
        if not node.requires_grad:
            raise Unreadable('%s asks for no gradient, so it has no backward pass' % program.names().with_shape(node))
        run = program.backward_run()
        if run and node.address in run.order[run.position:]:
            raise Unreadable('its turn in this backward pass is over, or now')
        found = run_to(lambda other: other.address == node.address, leaves=True)
        if found is not None:
            enter(found)


for command in (Backstep, ToBackward):
    command()
