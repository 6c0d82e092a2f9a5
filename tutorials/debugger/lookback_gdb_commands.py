"""The commands that look: they only read memory, so they also work on a core dump."""

import os
import textwrap

import gdb

import lookback_gdb_program as program
import lookback_text as text
from lookback_nodes import Node, Unreadable, graph_behind, live_nodes, node_at

commands = []    # as `help lookback` lists them: (usage, what it does, an example)


class Command(gdb.Command):
    """A subclass says `usage`, `what`, `example`, and has run(argument). Whatever goes wrong is one line."""

    def __init__(self):
        self.name = self.usage.split()[0]
        self.__doc__ = '%s\n    %s\n    for example: %s' % (self.usage, self.what, self.example)
        commands.append((self.usage, self.what, self.example))
        super().__init__(self.name, gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        try:
            self.run(argument.strip())
        except (Unreadable, gdb.error) as error:
            raise gdb.GdbError('%s: %s' % (self.name, error)) from None


def show(*lines):
    print('\n'.join(lines))


def is_terminal():
    """Whether colours are shown: the windows of `layout` have none of these."""
    if not os.isatty(1) or os.environ.get('NO_COLOR') or not gdb.parameter('style enabled'):
        return False
    try:
        return 'not active' in gdb.execute('info win', to_string=True)
    except gdb.error:    # a gdb without windows
        return True


def width():
    return min(gdb.parameter('width') or 80, 120)


_seen = {}    # address of a tensor -> what it held when last shown


def before(node):
    """Value and gradient as they were when last shown: what differs now gets a star."""
    now = (node.values(), node.gradients())
    last = _seen.get(node.address, (None, None))
    _seen[node.address] = now
    return tuple(old if old is not None and new is not None and len(old) == len(new) else None for old, new in zip(last, now))


gdb.events.exited.connect(lambda _: _seen.clear())


class Tensor(Command):
    usage = 'tensor E'
    what = 'value and gradient of a tensor, with a star at what changed since it was last shown'
    example = 'tensor weights'

    def run(self, argument):
        node, is_gradient = program.resolve(argument)
        show(text.tensor_text(node, program.names(), is_gradient, before(node), width()))


class Grad(Command):
    usage = 'grad E'
    what = 'the gradient alone'
    example = 'grad W'

    def run(self, argument):
        node, _ = program.resolve(argument)
        show(text.tensor_text(node, program.names(), True, before(node), width()))


class Heat(Command):
    usage = 'heat [-g] E'
    what = 'a tensor, or with -g its gradient, as a picture: where is it large?'
    example = 'heat weights'

    def run(self, argument):
        wants_gradient = argument.startswith('-g')
        node, is_gradient = program.resolve(argument[2:] if wants_gradient else argument)
        is_gradient = is_gradient or wants_gradient
        names = program.names()
        if is_gradient and not node.grad:
            raise Unreadable('of %s there is %s' % (names.gradient(node), text.no_gradient(node)))
        if not node.size:
            raise Unreadable('%s has no elements' % names.with_shape(node))
        show((names.gradient(node) if is_gradient else names.short(node)) + ' ' + text.shape_text(node.shape),
             text.heat(node.shape, node.gradients() if is_gradient else node.values(), 'full' if is_terminal() else None))


def run_under_way():
    run = program.backward_run() or program.about_to_start()
    if run is None:
        raise Unreadable('no backward pass is under way in this thread; `break lookback::backward` stops at the next')
    return run


class Tape(Command):
    usage = 'tape [all | OP]'
    what = 'the backward pass: what is done (.), at work (=>) and to come, with the norms of the gradients; or one kind of op alone'
    example = 'tape'

    def run(self, argument):
        run = run_under_way()
        show(text.tape(program.memory(), run, program.names(), None if argument else 10,
                       '' if argument == 'all' else argument, width()))


class Graph(Command):
    usage = 'graph [-all] E | graph -dot E FILE'
    what = "the ops behind a tensor as they were made, with norms; or the picture in Graphviz's language"
    example = 'graph loss'

    def run(self, argument):
        words = argument.split()
        option = words.pop(0) if words and words[0] in ('-all', '-dot') else ''
        if option == '-dot' and len(words) < 2:
            raise Unreadable('which tensor, and into which file? graph -dot loss graph.dot')
        file = words.pop() if option == '-dot' else None
        node, _ = program.resolve(' '.join(words))
        nodes = graph_behind(node.memory, node.address)
        if file is None:
            return show(text.graph(nodes, program.names(), None if option else 40, width()))
        try:
            with open(file, 'w', encoding='utf-8') as out:
                out.write(text.dot(nodes, program.names()) + '\n')
        except OSError as error:
            raise Unreadable('%s: %s' % (file, error.strerror)) from None
        show('%s: %d tensors; draw it with: dot -Tsvg %s -o graph.svg' % (file, len(nodes), file))


class Origin(Command):
    usage = 'origin [E]'
    what = "which line made a tensor, and in a debug build which functions called it there; without E, the op at work"
    example = 'origin weights'

    def run(self, argument):
        node, _ = program.resolve(argument)
        lines = [program.names().node(node), '  made at ' + text.made_at(node)]
        try:
            place = '%s:%d' % (node.memory.text(node._get('file', 'Q')), node.line)
            listed = gdb.execute('list %s,%d' % (place.replace(':%d' % node.line, ':%d' % max(1, node.line - 2)), node.line + 2),
                                 to_string=True)
            lines += [('  > ' if line.split('\t')[0] == str(node.line) else '    ') + line for line in listed.splitlines()]
        except gdb.error:
            pass    # the source is not there
        for address in node.callers:
            line, name = gdb.find_pc_line(address - 1), function_at(address - 1)
            if line.symtab and name and not name.startswith('std::') and '/src/ops/' not in line.symtab.filename:
                lines.append('  called by %s at %s:%d' % (name, os.path.basename(line.symtab.filename), line.line))
            if name == 'main':
                break
        show(*lines)


def function_at(address):
    """Without its arguments and its unnamed namespace."""
    block = gdb.block_for_pc(address)
    while block is not None and block.function is None:
        block = block.superblock
    return block.function.print_name.replace('(anonymous namespace)::', '').split('(')[0] if block else ''


class Locals(Command):
    usage = 'locals'
    what = "this frame's variables whose line has been passed; an op's pointers say which tensor they are in"
    example = 'locals'

    def run(self, argument):
        program.memory()
        frame = gdb.selected_frame()
        if frame.function() is None:
            raise Unreadable('this frame has no debug information: meson setup --buildtype=debug, or sh tutorials/run.sh NN --debug')
        op = program.current_op() if gdb.selected_inferior().pid else None
        if op is not None and program.op_of_frame(frame):
            show(program.names().node(op) + '  made at ' + text.made_at(op))
            for field, member in program.members_of(frame.read_var('this').dereference()):
                if not field.is_base_class:
                    show('%s = %s' % (field.name, self.describe(member, op)))
        for symbol, value in program.symbols_of(frame):
            if symbol.name != 'this':
                show('%s = %s' % (symbol.name, self.describe(value, op)))

    @staticmethod
    def describe(value, op):
        if value.is_optimized_out:
            return '<optimized out>'
        type = program.plain(program.without_reference(value).type)
        address = program.node_address(value)
        if address is not None:
            try:
                return text.one_line(node_at(program.memory(), address), program.names()) if address else '(no tensor)'
            except Unreadable as error:
                return '(%s)' % error
        if type.code == gdb.TYPE_CODE_PTR and program.is_real(program.plain(type.target())) and int(value):
            found = program.pointed_to(int(value), op)
            if found:
                return in_tensor(*found)
            try:
                return text.number(float(value.dereference())) + ', the first of an array'
            except gdb.MemoryError:
                return 'not set yet'
        if type.name == 'lookback::Buffer':
            return buffer_text(value, op)
        try:
            shown = program.without_reference(value).format_string(max_elements=12, max_depth=1).replace('\n', ' ')
        except gdb.error:
            return 'not set yet'
        return shown if len(shown) <= 100 else shown[:97] + '...'


def in_tensor(node, is_gradient, flat):
    """What an op's pointer stands in."""
    names = program.names()
    values = node.gradients() if is_gradient else node.values()
    what = names.gradient(node) if is_gradient else names.short(node)
    if flat >= node.size:
        return 'the end of ' + what
    if flat:
        return '%s at %s, %s' % (what, text.place_in(node.shape, flat), text.number(values[flat]))
    if node.size == 1:
        return '%s %s = %s' % (what, text.shape_text(node.shape), text.number(values[0]))
    stats = text.Stats(values)
    return '%s %s in %s, norm %s' % (what, text.shape_text(node.shape), stats.range_text(), stats.norm_text())


def buffer_text(value, op):
    """An op's own memory between forward and backward, or within one of them."""
    data, count = int(value['data']), int(value['count'])
    if not data or op is None:
        return 'empty'
    stats = text.Stats(op.memory.reals(data, count))
    return '%d numbers in %s, norm %s' % (count, stats.range_text(), stats.norm_text())


class WhyNan(Command):
    usage = 'why-nan E'
    what = 'the first tensor behind E whose value, else whose gradient, is NaN or inf, and what went into it'
    example = 'why-nan loss'

    def run(self, argument):
        node, _ = program.resolve(argument)
        found = text.why_not_finite(graph_behind(node.memory, node.address), program.names())
        show(found or 'all values and gradients behind %s are finite' % program.names().with_shape(node))


class Tensors(Command):
    usage = 'tensors'
    what = 'what is alive: the tensors that the program itself holds, and how much each keeps behind it'
    example = 'tensors'

    def run(self, argument):
        memory = program.memory()
        in_order = [address for run in program.backward_runs(memory) for address in run.order if address]
        show(text.held_text(list(live_nodes(memory)), in_order, program.names(), width=width()))


class Lookback(gdb.Command):
    def __init__(self):
        lines = ['Tensors and gradients. E is a variable, an expression, a name such as',
                 'out.weight, or a number such as #12. The guide is tutorials/debugger/README.md.', '']
        for usage, what, example in commands:
            lines += [usage] + textwrap.wrap(what, 76, initial_indent='    ', subsequent_indent='    ')
            lines += ['    for example: ' + example]
        lines += ['', 'In conditions: $op(E) $norm(E) $gnorm(E) $bad(E) $gbad(E), as in',
                  '    break lookback::run_backward_of if $gnorm(node) > 10',
                  'Source, tape and values beside each other: layout lookback (Ctrl-X A leaves it)']
        self.__doc__ = '\n'.join(lines)
        super().__init__('lookback', gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        show(self.__doc__)


# ---- Functions for conditions -------------------------------------------------------------------------------------------------

class Function(gdb.Function):
    def __init__(self, name, of):
        self._name, self._of = name, of
        super().__init__(name)

    def invoke(self, value=None, *more):
        try:
            if more:
                raise Unreadable('$%s takes one tensor' % self._name)
            if value is None:
                node = program.resolve('')[0]
            elif value.type.strip_typedefs().code in (gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_PTR) and program.node_address(value) is None:
                node = program.resolve(value.string())[0]
            else:
                node = Node(program.memory(), program.node_address(value) or 0)
            return self._of(node)
        except (Unreadable, TypeError) as error:
            raise gdb.GdbError(str(error)) from None


Function('op', lambda node: node.op)
Function('norm', lambda node: text.Stats(node.values()).norm)
Function('gnorm', lambda node: text.Stats(node.gradients()).norm if node.grad else 0.0)
Function('bad', lambda node: int(text.first_bad(node.values()) is not None))
Function('gbad', lambda node: int(node.grad != 0 and text.first_bad(node.gradients()) is not None))

for command in (Tensor, Grad, Heat, Tape, Graph, Origin, Locals, WhyNan, Tensors):
    command()
