"""One op alone: its backward beside differences of its forward, and again, addition by addition, to explain one element."""

import contextlib
import math
import re
import struct

import gdb

import lookback_gdb_program as program
import lookback_text as text
from lookback_gdb_commands import Command, show
from lookback_gdb_running import GATE, run_to
from lookback_gdb_stops import Trap, watched_element
from lookback_nodes import Node, Unreadable, graph_behind, live_nodes, shape_text


@contextlib.contextmanager
def undisturbed():
    """Functions of the program can be called: no breakpoint stops them, no other thread runs, no trap is set."""
    program.need_running()
    stopping = [b for b in gdb.breakpoints() if b.enabled]
    locking, trapped = gdb.parameter('scheduler-locking'), Trap.is_on()
    for breakpoint in stopping:
        breakpoint.enabled = False
    gdb.execute('set scheduler-locking on')
    if trapped:
        Trap.set_masks(False)
    try:
        yield
    finally:
        for breakpoint in stopping:
            if breakpoint.is_valid():
                breakpoint.enabled = True
        gdb.execute('set scheduler-locking ' + locking)
        if trapped:
            Trap.set_masks(True)


def call(function, *arguments, result='const char*'):
    signature = '((%s (*)(%s)) %s)(%s)' % (result, ', '.join(['long'] * len(arguments)), function, ', '.join(map(str, arguments)))
    return gdb.parse_and_eval(signature)


def checked(node):
    with undisturbed():
        return call('lookback_check_node', node.address).string()


class Check(Command):
    usage = 'check [E]'
    what = "one op's backward beside central differences of its forward; everything is as before afterwards"
    example = 'check weights'

    def run(self, argument):
        show(checked(program.resolve(argument)[0]))


class CheckAll(Command):
    usage = 'check-all E'
    what = 'the same for all ops behind E'
    example = 'check-all loss'

    def run(self, argument):
        node, _ = program.resolve(argument)
        ops = [op for op in graph_behind(node.memory, node.address) if op.inputs]
        if not ops:
            raise Unreadable('no graph is kept behind ' + program.names().with_shape(node))
        results = [(op, checked(op)) for op in ops]
        wrong = [op for op, result in results if 'WRONG' in result]
        for op, result in results:
            if op in wrong or len(ops) <= 40:
                show(result + ('  made at ' + text.made_at(op) if op in wrong else ''))
        unknown = sum(': right, ' not in result for _, result in results) - len(wrong)
        show('%d ops checked, %d wrong%s' % (len(ops) - unknown, len(wrong), ', %d not to be checked' % unknown if unknown else ''))


class Reference(Command):
    usage = 'reference on|off'
    what = 'plain loops in place of the fast kernels from here on, to step through: the same bits, slowly'
    example = 'reference on'

    def run(self, argument):
        if argument not in ('on', 'off'):
            raise Unreadable("'reference on' or 'reference off'")
        program.need_running()
        set_reference(argument == 'on')


def set_reference(on):
    memory = program.memory()
    before = memory.read(memory.address['reference_loops'], 1)[0]
    gdb.selected_inferior().write_memory(memory.address['reference_loops'], b'\1' if on else b'\0')
    return bool(before)


# ---- One element --------------------------------------------------------------------------------------------------------------

class Recorder(gdb.Breakpoint):
    """Follows one element while an op's backward runs again, and notes each addition without stopping."""

    def __init__(self, op, address, total):
        super().__init__(watched_element(op.memory, address), gdb.BP_WATCHPOINT, gdb.WP_WRITE, internal=True)
        self.op, self.address, self.total, self.additions = op, address, total, []

    def stop(self):
        total = self.op.memory.reals(self.address, 1)[0]
        self.additions.append((total - self.total, total, *loop_and_factors(gdb.newest_frame(), self.op, self.address)))
        self.total = total
        return False


def loop_and_factors(frame, op, written):
    """'i=0 j=2', and what stands on the right of the line that wrote: 'x(0, 1)=0.5 d#5(0, 2)=2'."""
    loops, factors = [], []
    for at in program.frames(frame):
        here = []
        try:
            block = at.block()
            while block is not None and block.function is None:    # what a for loop counts, not the function's own variables
                here = ['%s=%d' % (s.name, int(s.value(at))) for s in block
                        if s.is_variable and s.type.strip_typedefs().code == gdb.TYPE_CODE_INT and 'const ' not in str(s.type)] + here
                block = block.superblock
        except (RuntimeError, gdb.error):
            break
        loops = here + loops
        if program.op_of_frame(at):
            break
    line = source_line(frame)
    left, right = (re.split(r'(?<![=<>!])[-+*/]?=(?!=)', line, 1) + [''])[:2]
    frame.select()
    for factor in dict.fromkeys(re.findall(r'\w+\[[^\[\]]+\]|\b[A-Za-z_]\w*\b(?![\[(:])', right)):
        if factor != left.strip():
            with contextlib.suppress(gdb.error, ValueError):
                value = gdb.parse_and_eval(factor)
                if not program.is_real(program.plain(value.type)) or value.address is not None and int(value.address) == written:
                    continue    # a counter, or the element itself, which holds the sum by now
                factors.append('%s=%s' % (element_text(value, op) or factor.replace(' ', ''), text.number(float(value))))
    return ' '.join(loops), ' '.join(factors), line


def element_text(value, op):
    found = program.pointed_to(int(value.address), op) if value.address is not None else None
    if not found:
        return ''
    node, is_gradient, flat = found
    names = program.names()
    return (names.gradient(node) if is_gradient else names.short(node)) + text.place_in(node.shape, flat)


def source_line(frame):
    place = frame.find_sal()
    try:
        with open(place.symtab.fullname(), encoding='utf-8') as source:
            line = source.read().splitlines()[place.line - 1].strip()
        return line.rsplit(') ', 1)[-1] if line.startswith('for ') else line
    except (OSError, AttributeError, IndexError):
        return ''


def users_of(node):
    """The ops that used a tensor and have passed a gradient on to it, as backward came by, and the last op made of them, which is the
    loss; of several graphs, those of the newest."""
    nodes = {other.address: other for other in live_nodes(node.memory)}
    uses = {}
    for other in nodes.values():
        if other.grad or other.address == node.address:
            for below in other.inputs:
                uses.setdefault(below, []).append(other)

    last = {}    # address -> the newest op made of it; ops are newer than what they are made of
    for op in sorted(nodes.values(), key=lambda x: -x.serial):
        last[op.address] = max((last[above.address] for above in uses.get(op.address, []) if above.address in last),
                               key=lambda x: x.serial, default=op)
    users = uses.get(node.address, [])
    loss = max((last[op.address] for op in users), key=lambda x: x.serial, default=None)
    users = [op for op in dict.fromkeys(users) if last[op.address].address == loss.address]
    return sorted(users, key=lambda op: -op.serial), loss


class Explain(Command):
    usage = 'explain E I J ...'
    what = 'where one element of a gradient comes from: every addition that changes it, with loop indices and factors'
    example = 'explain W 0 1'

    def run(self, argument):
        node, flat, index = program.resolve_element(argument)
        program.need_running()
        names, memory = program.names(), node.memory
        if gdb.lookup_global_symbol(GATE) is None:
            raise Unreadable('this needs a debug build: meson setup --buildtype=debug, or sh tutorials/run.sh NN --debug')
        if not node.requires_grad:
            raise Unreadable('%s asks for no gradient' % names.with_shape(node))
        run = program.backward_run() or program.about_to_start()
        begins = run is not None and node.address in run.order[-1:]
        if not begins:
            self.complete(node)
        users, loss = users_of(node)
        if begins or not users and node.size == 1 and node.gradients()[0] == 1:
            return show('d %s / d %s = 1: the pass begins with it' % (names.short(node), names.short(node)))
        if not users:
            raise Unreadable('no op that used %s is alive with a gradient' % names.with_shape(node))
        found, total = [], 0.0
        for op in users:
            additions = self.replay(op, node, flat, total)
            found += [(op, addition) for addition in additions or [None]]
            total = additions[-1][1] if additions else total
        actual = Node(memory, node.address).gradients()[flat]
        count = sum(addition is not None for _, addition in found)
        show('d loss / d %s%s = %s, from %s; used by %s' % (
            names.short(node), shape_text(index), text.number(actual), plural(count, 'addition'), plural(len(users), 'op')))
        last_op = last_line = None
        for op, addition in found[:60]:
            if op.address != last_op:
                show('  %s  %s' % (names.node(op), op.place))
            if addition is None:
                show('    adds nothing but 0')
                continue
            addend, _, loop, factors, line = addition
            if line != last_line:
                show('    ' + line)
            last_op, last_line = op.address, line
            show(('    %12s  %s  %s' % ('%+.4g' % addend, loop, factors)).rstrip())
        if len(found) > 60:
            show('    ... %d more' % (len(found) - 60))
        if abs(total - actual) > 1e-6 * max(abs(total), abs(actual)):
            show('  the ops behind %s add up to %s: the rest was there before, or came from another loss' % (
                names.short(loss), text.number(total)))
        if loss.size == 1:
            with undisturbed():
                slope = call('lookback_numeric_gradient', loss.address, node.address, flat, result='double')
            epsilon, step = (2 ** -23, 1e-2) if memory.real_size == 4 else (2 ** -52, 1e-5)    # the step of node_check.cpp
            rounding = epsilon * abs(loss.values()[0]) / (2 * step * max(1, abs(node.values()[flat])))
            measured = '%.3g, give or take %.1g' % (slope, rounding) if math.isfinite(slope) else 'none, it is not finite a step away'
            show('  by differences of %s: %s' % (names.short(loss), measured))

    @staticmethod
    def complete(node):
        """All that use the tensor must have passed their gradients on: its own turn in the backward pass comes after them."""
        run = program.backward_run() or program.about_to_start()
        to_come = run.order[:run.position] if run else []
        if node.address in to_come or not node.grad:
            show('its gradient is not complete yet; on to where it is')
            if run_to(lambda other: other.address == node.address, leaves=True) is None:
                raise Unreadable('the program stopped before its gradient was complete')

    @staticmethod
    def replay(op, node, flat, total):
        """Runs one op's backward again, by plain loops, from this total on, and puts all gradients back."""
        memory, inferior = op.memory, gdb.selected_inferior()
        places = {below.grad: below.size * memory.real_size for below in (Node(memory, a) for a in op.inputs) if below.grad}
        saved = {place: memory.read(place, size) for place, size in places.items()}
        element = Node(memory, node.address).grad + flat * memory.real_size
        with undisturbed():
            was_reference = set_reference(True)
            frame, newest = gdb.selected_frame(), gdb.newest_frame()
            inferior.write_memory(element, struct.pack('f' if memory.real_size == 4 else 'd', total))
            recorder = None
            try:
                # gdb switches watchpoints off while it calls a function, so the call is stopped at its first line and goes on from there.
                entry = gdb.Breakpoint(GATE, internal=True)
                entry.silent = True
                try:
                    call(GATE, op.address, result='void')
                    return []
                except gdb.error:
                    pass    # stopped, as it should be
                finally:
                    entry.delete()
                recorder = Recorder(op, element, total)
                gdb.execute('continue', to_string=True)
                if gdb.newest_frame() != newest:
                    raise Unreadable('interrupted')
                return recorder.additions
            finally:
                if gdb.newest_frame() != newest:
                    leave_call()
                if recorder:
                    recorder.delete()
                for place, content in saved.items():
                    inferior.write_memory(place, content)
                set_reference(was_reference)
                frame.select()


def leave_call():
    """Out of a function that gdb has called and that has not returned."""
    for frame in program.frames(gdb.newest_frame()):
        if frame.older() is not None and frame.older().type() == gdb.DUMMY_FRAME:
            frame.select()
            return gdb.execute('return', to_string=True)


def plural(count, what):
    return '%d %s%s' % (count, what, '' if count == 1 else 's')


for command in (Check, CheckAll, Explain, Reference):
    command()
