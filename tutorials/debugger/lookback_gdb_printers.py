"""One line for each tensor that gdb prints, and a backtrace that says which op a frame works on."""

import gdb
from gdb.FrameDecorator import FrameDecorator, SymValueWrapper

import lookback_gdb_program as program
from lookback_nodes import Node, Unreadable, node_at
from lookback_text import one_line


class Printer:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        try:
            address = program.node_address(self.value)
            return one_line(node_at(program.memory(), address), program.names()) if address else '(no tensor)'
        except (Unreadable, gdb.error) as error:
            return '(%s)' % error


class WherePrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        try:
            return '%s:%d in %s' % (self.value['file'].string().rsplit('/', 1)[-1], self.value['line'], self.value['function'].string())
        except gdb.error:
            return '(not set yet)'


def printer_of(value):
    type = program.plain(value.type)
    if type.name == 'lookback::Where':
        return WherePrinter(value)
    return Printer(value) if program.is_tensor(type) or (program.is_node(type) and value.address is not None) else None


gdb.pretty_printers.insert(0, printer_of)


# What gdb itself calls a frame that is no function's.
NAMELESS = {gdb.DUMMY_FRAME: '<function called from gdb>', gdb.SIGTRAMP_FRAME: '<signal handler called>'}


class LookbackFrame(FrameDecorator):
    def _op(self):
        address = program.op_of_frame(self.inferior_frame())
        return Node(program.memory(), address) if address else None

    def function(self):
        name = NAMELESS.get(self.inferior_frame().type()) or self.inferior_frame().name() or '??'
        try:
            op = self._op()
            return '%s [%s, %s]' % (name, program.names().node(op), op.place) if op else name
        except (Unreadable, gdb.error):
            return name

    def frame_args(self):
        return [self._fetched(argument) for argument in super().frame_args() or [] if str(argument.symbol()) != 'this']

    def _fetched(self, argument):
        try:
            argument.symbol().value(self.inferior_frame()).fetch_lazy()
            return argument
        except gdb.error as error:    # which would end the backtrace
            return SymValueWrapper(argument.symbol(), '<%s>' % error)


class Filter:
    """Leaves out the standard library's frames, and says the op of a forward() or backward()."""

    def __init__(self):
        self.name, self.priority, self.enabled = 'lookback', 100, True
        gdb.frame_filters[self.name] = self

    def filter(self, frames):
        for frame in frames:
            if not str(frame.function() or '').startswith('std::'):
                yield LookbackFrame(frame)


Filter()
