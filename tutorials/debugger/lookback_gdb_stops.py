"""What stops the program: the instruction that makes a NaN, the checked mode, and a gradient's element that changes."""

import re

import gdb

import lookback_gdb_program as program
import lookback_text as text
from lookback_gdb_commands import Command, show
from lookback_nodes import Node, Unreadable, live_nodes, shape_text


def watched_element(memory, address):
    return '*(%s*) %d' % ('float' if memory.real_size == 4 else 'double', address)


class WatchGrad(Command):
    usage = 'watch-grad E I J ...'
    what = 'stop whenever one element of a gradient changes'
    example = 'watch-grad W 0 1'

    def run(self, argument):
        node, flat, index = program.resolve_element(argument)
        program.need_running()
        if not node.grad:
            raise Unreadable('of %s there is %s' % (program.names().gradient(node), text.no_gradient(node)))
        name = '%s%s' % (program.names().gradient(node), shape_text(index))
        Watch(node, flat, name)
        show('watching %s, now %s' % (name, text.number(node.gradients()[flat])))


class Watch(gdb.Breakpoint):
    def __init__(self, node, flat, element):
        super().__init__(watched_element(node.memory, node.grad + flat * node.memory.real_size), gdb.BP_WATCHPOINT, gdb.WP_WRITE)
        self.element = element
        self.what = (node.address, node.serial, node.grad_place)

    def stop(self):
        if self.what in ((node.address, node.serial, node.grad_place) for node in live_nodes(program.memory())):
            return True
        show('%s is gone, and is watched no more' % self.element)    # its memory serves something else
        gdb.post_event(lambda: self.is_valid() and self.delete())
        return False


def forget_watched(_):
    for breakpoint in gdb.breakpoints():
        if isinstance(breakpoint, Watch):
            breakpoint.delete()


gdb.events.exited.connect(forget_watched)


def say_watched(event):
    changed = [b.element for b in getattr(event, 'breakpoints', []) if isinstance(b, Watch)]
    if not changed:
        return
    op = program.current_op()
    show('%s changed%s' % (', '.join(changed), ', in backward of ' + program.names().node(op) if op else ''))
    frames = list(program.frames(gdb.newest_frame()))
    for pattern in (r'.*op::\w+::backward$', r'(?!std::|_mm|lookback::kernels::|operator\(\))'):    # the op's equation, or else words
        for frame in frames:
            if re.match(pattern, frame.name() or 'std::'):
                frame.select()
                gdb.execute('frame')
                return


class Trap(Command):
    usage = 'trap-nan on|off'
    what = 'stop at the very instruction that makes a NaN or inf out of finite numbers (x86; costs nothing)'
    example = 'trap-nan on'
    process = None    # for which it is on: a new one begins without

    @staticmethod
    def is_on():
        return Trap.process is not None and Trap.process == gdb.selected_inferior().pid

    def run(self, argument):
        if argument not in ('on', 'off'):
            raise Unreadable("'trap-nan on' or 'trap-nan off'")
        program.memory()
        Trap.set_masks(argument == 'on')
        Trap.process = gdb.selected_inferior().pid if argument == 'on' else None
        gdb.execute('handle SIGFPE stop print nopass', to_string=True)

    @staticmethod
    def set_masks(on):
        """The mask bits for invalid operation, division by zero and overflow, in each thread."""
        selected, frame = gdb.selected_thread(), gdb.selected_frame()
        try:
            for thread in gdb.selected_inferior().threads():
                thread.switch()
                gdb.newest_frame().select()
                try:
                    gdb.execute('set $mxcsr = ($mxcsr & ~0x3f) %s' % ('& ~0x680' if on else '| 0x680'), to_string=True)
                    # Linux restores no mask to a thread whose vector registers are all 0, so one of them must not be.
                    if not any(int(gdb.parse_and_eval('$xmm%d.v2_int64[%d]' % (i, j))) for i in range(16) for j in range(2)):
                        gdb.execute('set $xmm15.v2_int64[0] = 1', to_string=True)
                except gdb.error:
                    raise Unreadable('this processor, or this core dump, has no mask for it') from None
        finally:
            selected.switch()
            if frame.is_valid():
                frame.select()


def say_trapped(event):
    if not isinstance(event, gdb.SignalEvent) or event.stop_signal != 'SIGFPE' or not Trap.is_on():
        return
    for frame in program.frames(gdb.newest_frame()):
        address = program.op_of_frame(frame)
        if address:
            op = Node(program.memory(), address)
            place = frame.find_sal()
            names = program.names()
            show('a NaN or inf is being made in %s of %s, made at %s' % (frame.name().rsplit('::', 1)[-1], names.node(op), text.made_at(op)))
            for below in (Node(op.memory, a) for a in op.inputs):
                show('  input  %s: %s' % (names.with_shape(below), text.Stats(below.values()).line()))
            show('  `trap-nan off` lets the program go on')
            return


class NotFinite(gdb.Breakpoint):
    """The checked mode has found a NaN or inf: shows its words, and the user's own line."""

    def __init__(self):
        super().__init__('lookback_not_finite', internal=True)
        self.silent = True


def say_not_finite(event):
    if any(isinstance(breakpoint, NotFinite) for breakpoint in getattr(event, 'breakpoints', [])):
        try:
            what = gdb.newest_frame().read_var('what')
        except ValueError:    # no debug information: the fifth argument
            what = gdb.parse_and_eval('(char*) $r8')
        show(what.string())
        for frame in program.frames(gdb.newest_frame()):
            name = frame.name() or ''
            if frame.find_sal().symtab and not re.match(r'lookback|std::', name):
                frame.select()
                gdb.execute('frame')
                return


def after_stop(event):
    try:
        for say in (say_watched, say_trapped, say_not_finite):
            say(event)
    except (Unreadable, gdb.error) as error:
        show('(%s)' % error)


gdb.events.stop.connect(after_stop)
NotFinite()
for command in (WatchGrad, Trap):
    command()
