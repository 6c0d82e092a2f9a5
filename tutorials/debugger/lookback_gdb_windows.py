"""`layout lookback`: beside the source a window with the backward pass, and one with this frame's values and a pinned tensor."""

import gdb

import lookback_gdb_program as program
import lookback_text as text
from lookback_gdb_commands import Command, Locals, before, show
from lookback_nodes import Unreadable

pinned = []    # what somebody typed, and whether the gradient was meant


class Pin(Command):
    usage = 'pin [E]'
    what = "keep a tensor's numbers in the values window; without E, take it out again"
    example = 'pin look.weights'

    def run(self, argument):
        pinned[:] = []
        if argument:
            node, _ = program.resolve(argument)
            pinned[:] = [argument]
            show('%s is pinned; `layout lookback` shows it at every stop' % program.names().with_shape(node))
        refresh()


class Window:
    """A list of lines that can be scrolled, made again at every stop."""

    def __init__(self, window):
        self.window, self.first, self.shown = window, 0, []
        windows.append(self)

    def close(self):
        windows.remove(self)

    def render(self):
        try:
            self.shown = self.lines()
        except (Unreadable, gdb.error) as error:
            self.shown = [str(error)]
        self.draw()

    def draw(self):
        if self.window.is_valid():
            visible = self.shown[self.first:self.first + self.window.height]
            self.window.erase()
            self.window.write('\n'.join(line[:self.window.width - 1] for line in visible), True)

    def vscroll(self, lines):
        self.first = max(0, min(len(self.shown) - 1, self.first + lines))
        self.draw()

    def hscroll(self, columns):
        pass


class TapeWindow(Window):
    def __init__(self, window):
        super().__init__(window)
        window.title = 'tape'

    def lines(self):
        run = program.backward_run() or program.about_to_start()
        if run is None:
            return ['no backward pass is under way']
        around = max(2, (self.window.height - 3) // 2)
        return [short(line) for line in text.tape(program.memory(), run, program.names(), around).splitlines()]


def short(line):
    """Without the blanks that hold columns apart, so that more of it can be seen in a narrow window."""
    return line[:4] + ' '.join(line[4:].split()) if len(line) > 4 else line


class ValuesWindow(Window):
    def __init__(self, window):
        super().__init__(window)
        window.title = 'values'

    def lines(self):
        lines = []
        for expression in pinned:
            try:
                node, is_gradient = program.resolve(expression)
                lines += text.tensor_text(node, program.names(), is_gradient, before(node), self.window.width - 1).splitlines() + ['']
            except Unreadable as error:
                lines.append('%s: %s' % (expression, error))
        frame, op = gdb.selected_frame(), program.current_op()
        for symbol, value in program.symbols_of(frame):
            if symbol.name != 'this':
                lines.append('%s = %s' % (symbol.name, Locals.describe(value, op)))
        return lines


windows = []


def refresh(*_):
    for window in windows:
        window.render()


gdb.events.before_prompt.connect(refresh)
try:
    gdb.register_window_type('tape', TapeWindow)
    gdb.register_window_type('values', ValuesWindow)
    gdb.execute('tui new-layout lookback {-horizontal src 3 {tape 2 values 3} 2} 3 status 0 cmd 1')
except (AttributeError, gdb.error):
    pass    # a gdb without windows
Pin()
