"""Where the debugged program stands: its memory, its frames, and which tensor somebody means by a word."""

import contextlib
import re

import gdb

from lookback_nodes import Memory, Node, PassToCome, Unreadable, backward_runs, first_made, live_nodes, node_at, shape_text
from lookback_text import Names

_memory = (None, None)    # (process and place of its table, its Memory)


def memory():
    global _memory
    if not gdb.selected_inferior().pid:
        raise Unreadable('the program is not running; type `run` first')
    try:
        table = int(gdb.parse_and_eval('(long)&lookback_layout'))
    except gdb.error:
        raise Unreadable('there is nothing of lookback in this program, or it was built with -Ddebugger=none') from None
    key = (gdb.selected_inferior().pid, table)
    if _memory[0] != key:
        inferior = gdb.selected_inferior()
        _memory = (key, Memory(inferior.read_memory, table))
    return _memory[1]


def need_running():
    memory()
    if getattr(gdb.selected_inferior().connection, 'type', '') == 'core':
        raise Unreadable('this needs a running program, and here is only its memory')


def frames(start=None):
    """From the selected frame outward, or from another one."""
    try:
        frame = start or gdb.selected_frame()
    except gdb.error:
        return
    while frame is not None and frame.is_valid():
        yield frame
        try:
            frame = frame.older()
        except gdb.error:
            return


def is_tensor(type):
    return type.code == gdb.TYPE_CODE_STRUCT and type.name == 'lookback::Tensor'


def is_node(type):
    if type.code != gdb.TYPE_CODE_STRUCT:
        return False
    return type.name == 'lookback::Node' or any(f.is_base_class and is_node(f.type.strip_typedefs()) for f in type.fields()[:1])


def is_real(type):
    return type.code == gdb.TYPE_CODE_FLT


def plain(type):
    return type.strip_typedefs().unqualified()


def without_reference(value):
    return value.referenced_value() if value.type.strip_typedefs().code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF) else value


def node_address(value):
    """Of a Tensor, a Node or an op, or of a reference or pointer to one; None for anything else."""
    value = without_reference(value)
    type = plain(value.type)
    if type.code == gdb.TYPE_CODE_PTR:
        target = plain(type.target())
        if is_node(target):
            return int(value)
        if not is_tensor(target) or not int(value):
            return None
        value, type = value.dereference(), target
    if is_tensor(type):
        return int(value['node'])
    return int(value.address) if is_node(type) else None


# ---- The op at work -----------------------------------------------------------------------------------------------------------

def op_of_frame(frame):
    """The address of the op whose forward() or backward() this frame is, or None."""
    name = frame.name() or ''
    try:
        if name.endswith('::forward') or name.endswith('::backward'):
            return node_address(frame.read_var('this'))
    except (gdb.error, ValueError, RuntimeError):
        pass
    return None


def backward_run():
    """The innermost backward pass of the selected thread, or None."""
    thread = gdb.selected_thread()
    for run in backward_runs(memory()):
        if thread is None or run.thread in (0, thread.ptid[1]):
            return run
    return None


def at_work():
    """The node of that pass. Breakpoints ask this thousands of times, so the order is not read."""
    m, thread = memory(), gdb.selected_thread().ptid[1]
    run = m.pointer(m.address['newest_backward'])
    while run and m.number(run + m.offset['run.thread']) not in (0, thread):
        run = m.pointer(run + m.offset['run.older'])
    node = m.pointer(run + m.offset['run.node']) if run else 0
    return Node(m, node) if node else None


def about_to_start():
    """The pass that a call of backward() will make, where the program stands at its beginning; else None."""
    for frame in frames(start=gdb.newest_frame()):
        if frame.name() == 'lookback::backward':
            try:
                return PassToCome(memory(), node_address(frame.read_var('loss')))
            except (gdb.error, ValueError):
                return None
    return None


def current_op():
    """The op in whose forward() or backward() the program stands, as a Node, or None."""
    for frame in frames():
        address = op_of_frame(frame)
        if address:
            return Node(memory(), address)
    run = backward_run()
    return Node(memory(), run.node) if run and run.node else None


def pointed_to(address, op):
    """What an op's pointer to reals stands in: (node, whether in its gradient, flat place), or None."""
    for at in [op.address] + op.inputs if op else []:
        node = Node(op.memory, at)
        for is_gradient, buffer in ((False, node.data), (True, node.grad)):
            if buffer and buffer <= address < buffer + max(1, node.size) * op.memory.real_size:
                return node, is_gradient, (address - buffer) // op.memory.real_size
    return None


# ---- What a word means --------------------------------------------------------------------------------------------------------

def evaluate(text):
    """In the selected frame, else in one of those that called it: the first that knows the expression as a tensor."""
    selected = None
    try:
        selected = gdb.selected_frame()
        for frame in frames():
            frame.select()
            try:
                value = gdb.parse_and_eval(text)
                address = node_address(value)
                if address is not None:
                    return node_at(memory(), address), False
                value = without_reference(value)
                if plain(value.type).code == gdb.TYPE_CODE_PTR and is_real(plain(value.type.target())):
                    found = pointed_to(int(value), current_op())
                    if found:
                        return found[:2]
            except (gdb.error, RuntimeError):
                continue
    except gdb.error:
        pass
    finally:
        if selected is not None and selected.is_valid():
            selected.select()
    return None


def numbered(number):
    """#5 of the backward pass under way, or about to start, else the newest of the first thread that has one."""
    run = backward_run() or about_to_start()
    for address in reversed(run.order) if run else []:
        if address and Node(memory(), address).id == number:
            return Node(memory(), address)
    return next((node for node in live_nodes(memory()) if node.id == number), None)


def named(name):
    """A parameter of the model whose backward pass is under way, or about to start, else the first that was given the name."""
    run = backward_run() or about_to_start()
    for address in run.order if run else []:
        if address and Node(memory(), address).name == name:
            return Node(memory(), address)
    return first_made([node for node in live_nodes(memory()) if node.name == name])


def shown_as(text):
    """What the commands call by this word, such as weights for look.weights."""
    for address, name in variables().items():
        if name == text or name.endswith('.' + text):
            with contextlib.suppress(Unreadable):
                return node_at(memory(), address)
    return None


def resolve(text):
    """(node, whether its gradient is meant): of an expression, a tensor's name, a number such as #12, or '' for the op at work."""
    text = text.strip()
    memory()
    if not text:
        node = current_op()
        if node is None:
            raise Unreadable('no op is at work here; say which tensor: a variable, a name, or a number such as #12')
        return node, False
    if text[0] == '#' and text[1:].isdecimal():
        node = numbered(int(text[1:])) if int(text[1:]) else None    # all leaves have the number 0
        if node is None:
            raise Unreadable('no tensor is number ' + text)
        return node, False
    found = evaluate(text) or None
    if found:
        return found
    node = named(text) or shown_as(text)
    if node is not None:
        return node, False
    if text[0] == 'd' and len(text) > 1:    # a gradient, as the commands call it
        with contextlib.suppress(Unreadable):
            return resolve(text[1:])[0], True
    raise Unreadable("no tensor is called '%s' here: try a variable, a name such as out.weight, or a number such as #12" % text)


def resolve_element(text):
    """'E I J' or 'E(I, J)' -> node, flat place, index."""
    words = re.sub(r'\(([-\d, ]*)\)$', r' \1', text).replace(',', ' ').split()
    index = []
    while len(words) > 1 and re.fullmatch('-?[0-9]+', words[-1]):
        index.insert(0, int(words.pop()))
    if not words:
        raise Unreadable('say which tensor, and which element: w 1 2')
    node, _ = resolve(' '.join(words))
    if len(index) != len(node.shape):
        needed = '1 number is' if len(node.shape) == 1 else '%d numbers are' % len(node.shape)
        raise Unreadable('%s needed to say which element of %s' % (needed, shape_text(node.shape)))
    return node, node.element(index), index


# ---- What a tensor is called --------------------------------------------------------------------------------------------------

_variables = {}    # of each thread, until the program goes on


def forget(*_):
    _variables.clear()


def has_passed(symbol, frame):
    """Whether the line that declares it has been executed: before, a variable holds what was on the stack."""
    return symbol.is_argument or symbol.line < frame.find_sal().line


def symbols_of(frame):
    """Arguments and local variables, innermost block first, as (symbol, value)."""
    try:
        block = frame.block()
    except RuntimeError:
        return
    while block is not None:
        for symbol in block:
            if (symbol.is_variable or symbol.is_argument) and symbol.addr_class != gdb.SYMBOL_LOC_STATIC:
                try:
                    if has_passed(symbol, frame):
                        yield symbol, symbol.value(frame)
                except (gdb.error, RuntimeError):
                    pass
        if block.function is not None:
            return
        block = block.superblock


def members_of(value):
    """(field, value) of a struct, bases among them, static members not."""
    for field in plain(value.type).fields():
        if field.name and hasattr(field, 'bitpos'):
            yield field, value.cast(field.type) if field.is_base_class else value[field.name]


def tensors_in(value, name, depth):
    """(address, 'look.weights') of all Tensors in a variable."""
    value = without_reference(value)
    type = plain(value.type)
    if is_tensor(type):
        yield int(value['node']), name
    elif type.code != gdb.TYPE_CODE_STRUCT or depth == 0 or is_node(type):
        return
    elif (type.name or '').startswith('std::vector<lookback::Tensor'):
        begin, end = int(value['_M_impl']['_M_start']), int(value['_M_impl']['_M_finish'])
        for i in range(min((end - begin) // 8, 1000)):
            yield memory().pointer(begin + 8 * i), '%s[%d]' % (name, i)
    elif not (type.name or '').startswith('std::'):
        for field, member in members_of(value):
            called = field.name.lstrip('_')    # what a lambda has caught is called __x
            inner = name if field.is_base_class else called if name in ('this', '__closure') else name + '.' + called
            yield from tensors_in(member, inner, depth - 1)


def variables():
    """Address of a tensor -> the variable that holds it, innermost frame first; the library's own variables come last."""
    thread = gdb.selected_thread() and gdb.selected_thread().ptid
    if thread in _variables:
        return _variables[thread]
    found = _variables[thread] = {}
    try:
        stack = list(frames(gdb.newest_frame()))
    except gdb.error:
        stack = []
    stack.sort(key=lambda frame: (frame.name() or '').startswith('lookback::'))
    for depth in (0, 3):    # plain variables before members of structs
        for frame in stack:
            name = frame.name() or 'std::'
            if name.startswith('std::') or depth and name.startswith('lookback::'):
                continue
            for symbol, value in symbols_of(frame):
                if name.startswith('lookback::') and (not symbol.is_argument or symbol.name in ('node', 'this')):
                    continue
                try:
                    if symbol.name in ('this', '__closure'):
                        value = value.dereference()
                    for address, variable in tensors_in(value, symbol.name, depth):
                        if address:
                            found.setdefault(address, variable)
                except (gdb.error, RuntimeError, Unreadable):
                    pass
    return found


def names():
    return Names(variables())


gdb.events.cont.connect(forget)
gdb.events.exited.connect(forget)
gdb.events.inferior_call.connect(forget)
