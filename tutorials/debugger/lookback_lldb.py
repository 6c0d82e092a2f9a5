"""For lldb: one line for each tensor that it prints, and the commands tensor, heat and tape. Start tutorials/debugger/bin/lldb, or
`command script import` this file. The guide is README.md."""

import os
import sys

import lldb

sys.dont_write_bytecode = True    # nothing is written beside these files
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lookback_nodes import Memory, Node, PassToCome, Unreadable, backward_runs, first_made, live_nodes, node_at, shape_text  # noqa: E402
import lookback_text as text  # noqa: E402

_memory = (None, None)    # (process and place of its table, its Memory)


def memory(target):
    global _memory
    process = target.GetProcess()
    if not process.IsValid() or not process.GetNumThreads():
        raise Unreadable('the program is not running; type `run` first')
    found = target.FindSymbols('lookback_layout')
    if not found.GetSize():
        raise Unreadable('there is nothing of lookback in this program, or it was built with -Ddebugger=none')
    table = found.GetContextAtIndex(0).GetSymbol().GetStartAddress().GetLoadAddress(target)

    def read(address, size):
        error = lldb.SBError()
        found = process.ReadMemory(address, size, error) if size else b''
        if not error.Success():
            raise OSError(error.GetCString())
        return found

    key = (process.GetUniqueID(), table)
    if _memory[0] != key:
        _memory = (key, Memory(read, table))
    return _memory[1]


def node_address(value):
    """Of a Tensor, a Node or an op, or of a reference or pointer to one; None for anything else."""
    type = value.GetType().GetCanonicalType().GetUnqualifiedType()
    if type.IsReferenceType() or type.IsPointerType():
        value, type = value.Dereference(), type.GetPointeeType().GetCanonicalType().GetUnqualifiedType()
        if type.IsReferenceType():
            return None
    if type.GetName() == 'lookback::Tensor':
        return value.GetNonSyntheticValue().GetChildMemberWithName('node').GetValueAsUnsigned()
    while type.IsValid():
        if type.GetName() == 'lookback::Node':
            return value.GetLoadAddress()
        type = type.GetDirectBaseClassAtIndex(0).GetType() if type.GetNumberOfDirectBaseClasses() else lldb.SBType()
    return None


def frames(target):
    """From the selected frame outward."""
    thread = target.GetProcess().GetSelectedThread()
    selected = thread.GetSelectedFrame().GetFrameID()
    return [frame for frame in thread if frame.GetFrameID() >= selected]


def variables(target):
    """Address of a tensor -> the variable that holds it, or the member of one."""
    found = {}
    stack = sorted(frames(target), key=lambda frame: (frame.GetFunctionName() or '').startswith('lookback::'))
    for depth in (0, 2):
        for frame in stack:
            for value in frame.GetVariables(True, True, False, True):
                for address, name in tensors_in(value, value.GetName() or '', depth):
                    if address:
                        found.setdefault(address, name)
    return found


def tensors_in(value, name, depth):
    type_name = value.GetType().GetCanonicalType().GetName() or ''
    if 'lookback::Tensor' in type_name and 'std::' not in type_name:
        address = node_address(value)
        if address is not None:
            yield address, name
    elif depth and 'std::' not in type_name and not value.GetType().IsPointerType() and value.MightHaveChildren():
        for i in range(min(value.GetNumChildren(), 30)):
            child = value.GetChildAtIndex(i)
            yield from tensors_in(child, name + '.' + (child.GetName() or ''), depth - 1)


def run_under_way(target):
    thread = target.GetProcess().GetSelectedThread()
    for run in backward_runs(memory(target)):
        if run.thread in (0, thread.GetThreadID()):
            return run
    for frame in thread:
        loss = frame.FindVariable('loss')
        if (frame.GetFunctionName() or '').startswith('lookback::backward(') and loss.IsValid():
            return PassToCome(memory(target), node_address(loss))
    raise Unreadable('no backward pass is under way in this thread; `breakpoint set -n lookback::backward` stops at the next')


def resolve(target, word):
    """A variable, a member of one, a tensor's name, or a number such as #12."""
    if word[:1] == '#' and word[1:].isdecimal():
        found = [node for node in live_nodes(memory(target)) if node.id == int(word[1:]) and not node.is_leaf]
    else:
        for frame in frames(target):
            value = frame.GetValueForVariablePath(word)
            address = node_address(value) if value.IsValid() else None
            if address is not None:
                return node_at(memory(target), address)
        known = variables(target)
        found = [node for node in live_nodes(memory(target))
                 if node.name == word or (known.get(node.address, '') + '.').endswith('.' + word + '.')]
    if not word or not found:
        raise Unreadable("no tensor is called '%s' here: try a variable, a name such as out.weight, or a number such as #12" % word)
    return found[0] if word[0] == '#' else first_made(found)


def command(what):
    """A function of (target, argument) becomes a command: what goes wrong is one line."""
    def made(debugger, argument, result, _):
        try:
            target = debugger.GetSelectedTarget()
            print(what(target, argument.strip()), file=result)
        except Unreadable as error:
            result.SetError('%s: %s' % (what.__name__, error))
    made.__doc__ = what.__doc__
    return made


def tensor(target, argument):
    """tensor E: value and gradient of a tensor"""
    return text.tensor_text(resolve(target, argument), text.Names(variables(target)))


def heat(target, argument):
    """heat [-g] E: a tensor, or with -g its gradient, as a picture"""
    wants_gradient = argument.startswith('-g ')
    node = resolve(target, argument[3:].strip() if wants_gradient else argument)
    names = text.Names(variables(target))
    values = node.gradients() if wants_gradient else node.values()
    if values is None:
        raise Unreadable('of %s there is %s' % (names.gradient(node), text.no_gradient(node)))
    if not values:
        raise Unreadable('%s has no elements' % names.with_shape(node))
    called = names.gradient(node) if wants_gradient else names.short(node)
    coloured = os.isatty(1) and not os.environ.get('NO_COLOR') and 'color' in os.environ.get('TERM', '')
    return '%s %s\n%s' % (called, shape_text(node.shape), text.heat(node.shape, values, 'full' if coloured else None))


def tape(target, argument):
    """tape [all | OP]: the backward pass under way, with the norms of the gradients"""
    run = run_under_way(target)
    return text.tape(memory(target), run, text.Names(variables(target)), None if argument else 10, '' if argument == 'all' else argument)


tensor_command, heat_command, tape_command = command(tensor), command(heat), command(tape)


def summary(value, _):
    try:
        address = node_address(value.GetNonSyntheticValue())
        return text.one_line(node_at(memory(value.GetTarget()), address)) if address else '(no tensor)'
    except Unreadable as error:
        return '(%s)' % error


def say_not_finite(frame, *_):
    """The checked mode has found a NaN or inf: its words."""
    what = frame.FindVariable('what')    # without debug information the fifth argument
    address = (what if what.IsValid() else frame.FindRegister('r8')).GetValueAsUnsigned()
    print(frame.GetThread().GetProcess().ReadCStringFromMemory(address, 1000, lldb.SBError()))


def __lldb_init_module(debugger, _):
    said = lldb.SBCommandReturnObject()    # and not shown; -D: for the programs to come
    interpreter = debugger.GetCommandInterpreter()
    interpreter.HandleCommand('breakpoint set -D -n lookback_not_finite', said)
    interpreter.HandleCommand('breakpoint command add -D -F %s.say_not_finite' % __name__, said)
    for kind in ('-x "^lookback::Tensor$"', '-x "^lookback::(op::.*|Node)$"'):
        debugger.HandleCommand('type summary add -w lookback -F %s.summary %s' % (__name__, kind))
    debugger.HandleCommand('type category enable lookback')
    for name in ('tensor', 'heat', 'tape'):
        debugger.HandleCommand('command script add -f %s.%s_command %s' % (__name__, name, name))
