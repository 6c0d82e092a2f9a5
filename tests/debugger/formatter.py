"""The reader and the formatter of the debugger scripts, without any debugger: a program's memory is made up here."""

import math
import os
import struct
import sys
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tutorials', 'debugger'))

import lookback_nodes as nodes  # noqa: E402
import lookback_text as text  # noqa: E402

MEMBERS = {'op': 8, 'id': 16, 'file': 24, 'line': 32, 'scope': 40, 'shape': 48, 'size': 72, 'data': 80, 'grad': 88, 'requires_grad': 96, 'grad_is_unset': 97,
           'name': 104, 'inputs': 136, 'serial': 160, 'references': 168, 'callers': 176, 'older': 184, 'chain': 192, 'grad_rows': 200}


class Program:
    """Memory with tensors in it, laid out as its own table says."""

    def __init__(self, real='f'):
        self.bytes, self.end, self.real = {}, 0x1000, real
        table = dict(MEMBERS, **{'sizeof Node': 208, 'sizeof real': struct.calcsize(real), 'run.order': 0, 'run.count': 8, 'run.position': 16,
                                 'run.node': 24, 'run.thread': 32, 'run.older': 40})
        self.newest, self.chains, self.newest_backward = [0, 0], self.put(bytes(16)), self.put(bytes(8))
        rows = [(name, value, 0) for name, value in table.items()]
        rows += [('sizeof NodeChain', 8, 0), ('count of chains', 2, 0)]
        rows += [('node_chains', 0, self.chains), ('newest_backward', 0, self.newest_backward)]
        self.memory = nodes.Memory(self.read, self.put(b''.join(struct.pack('<QQQ', self.text(n), v, a) for n, v, a in rows) + bytes(24)))

    def read(self, address, size):
        for start, content in self.bytes.items():
            if start <= address and address + size <= start + len(content):
                return content[address - start:address - start + size]
        raise OSError

    def put(self, content, at=None):
        address = at or self.end
        if at is None:
            self.end += (len(content) + 63) // 32 * 32
        self.bytes[address] = content
        return address

    def text(self, words):
        return self.put(words.encode() + bytes(40))

    def reals(self, values):
        return self.put(struct.pack('<%d%s' % (len(values), self.real), *values)) if values is not None else 0

    def node(self, shape, values, grad=None, op='leaf', id=0, inputs=(), name='', line=7, scope='', requires_grad=True, references=1, size=None,
             grad_is_unset=False, thread=0, grad_rows=0):
        raw = bytearray(208)

        def write(member, kind, *what):
            struct.pack_into('<' + kind, raw, MEMBERS[member], *what)
        write('op', 'Q', self.text(op))
        write('id', 'i', id)
        write('file', 'Q', self.text('../../tutorials/net.cpp'))
        write('line', 'I', line)
        write('scope', 'Q', self.text(scope))
        begin = self.put(struct.pack('<%di' % len(shape), *shape) + b'\0')
        write('shape', 'QQQ', begin, begin + 4 * len(shape), begin + 4 * len(shape))
        write('size', 'Q', len(values) if size is None else size)
        write('data', 'Q', self.reals(values) if values else 0)
        write('grad', 'Q', self.reals(grad))
        write('requires_grad', '?', requires_grad)
        write('grad_is_unset', '?', grad_is_unset)
        write('grad_rows', 'Q', grad_rows)
        write('name', 'QQ', self.text(name), len(name))
        begin = self.put(struct.pack('<%dQ' % len(inputs), *[n.address for n in inputs]) + b'\0')
        write('inputs', 'QQQ', begin, begin + 8 * len(inputs), begin + 8 * len(inputs))
        write('serial', 'Q', id)
        write('references', 'i', references)
        write('older', 'Q', self.newest[thread])
        write('chain', 'i', thread)
        self.newest[thread] = self.put(bytes(raw))
        self.put(struct.pack('<QQ', *self.newest), self.chains)
        return nodes.Node(self.memory, self.newest[thread])

    def run(self, order, position):
        handles = self.put(struct.pack('<%dQ' % len(order), *[n.address if n else 0 for n in order]))
        node = order[position].address if order[position] else 0
        run = self.put(struct.pack('<6Q', handles, len(order), position, node, 42, 0))
        self.put(struct.pack('<Q', run), self.newest_backward)
        return nodes.backward_runs(self.memory)[0]


def small_net():
    """w (2, 2) and x (2, 2) -> #1 matmul -> #2 softmax, called p -> #3 sum"""
    program = Program()
    w = program.node((2, 2), [1, 2, 3, 4], grad=[0.5, 0, 0, -0.5], name='w')
    x = program.node((2, 2), [1, 0, 0, 1], requires_grad=False)
    h = program.node((2, 2), [1, 2, 3, 4], grad=[0.5, 0, 0, -0.5], op='matmul', id=1, inputs=[x, w], line=8, scope='mlp.fc1', references=2)
    p = program.node((2, 2), [0.25, 0.75, 0.5, 0.5], grad=[1, 1, 1, 1], op='softmax', id=2, inputs=[h], line=9, references=2)
    loss = program.node((), [2], grad=[1], op='sum', id=3, inputs=[p], line=9)
    return program, w, x, h, p, loss, text.Names({p.address: 'p', loss.address: 'loss'})


def a_node_is_read_from_memory():
    program, w, x, h, p, loss, names = small_net()
    assert (h.op, h.id, h.shape, h.size, h.scope, h.place, h.path) == ('matmul', 1, (2, 2), 4, 'mlp.fc1', 'net.cpp:8', 'tutorials/net.cpp')
    assert h.inputs == [x.address, w.address] and h.values().tolist() == [1, 2, 3, 4] and h.gradients().tolist() == [0.5, 0, 0, -0.5]
    unset = program.node((2,), [1, 2], grad=[7e8, 7e8], grad_is_unset=True)
    assert unset.gradients() is None
    program, w, x, h, p, loss, names = small_net()
    assert x.gradients() is None and w.name == 'w' and w.is_leaf and not h.is_leaf
    other = program.node((1,), [1], thread=1, name='w')
    assert nodes.first_made([n for n in nodes.live_nodes(program.memory) if n.name == 'w']).address == w.address
    assert nodes.first_made([]) is None
    assert [n.address for n in nodes.live_nodes(program.memory)] == [n.address for n in (loss, p, h, x, w, other)]
    assert [n.address for n in nodes.graph_behind(program.memory, loss.address)][2:] == [h.address, p.address, loss.address]
    assert Program('d').node((2,), [1 / 3, 2]).values().tolist() == [1 / 3, 2]


def an_element_has_one_place():
    _, w, *_ = small_net()
    assert w.element([1, 0]) == 2 and text.place_in((2, 3, 4), 23) == '(1, 2, 3)' and text.place_in((), 0) == '()'
    for wrong in ([2, 0], [0], [0, -1], [0, 0, 0]):
        assert refused(lambda: w.element(wrong)).startswith('no element')


def refused(function):
    try:
        function()
    except nodes.Unreadable as error:
        assert '\n' not in str(error)
        return str(error)
    return ''


def what_is_no_tensor_is_one_line():
    program = Program()
    m = program.memory
    assert refused(lambda: nodes.node_at(m, 0)) == 'no tensor'
    assert refused(lambda: nodes.node_at(m, 0x5a5a5a5a5a5a5a5a)) == 'not set yet, or freed'
    assert refused(lambda: nodes.node_at(m, program.put(bytes(208)))) == 'freed'
    assert refused(lambda: nodes.node_at(m, program.put(b'\x5a' * 192))) == 'not set yet, or freed'
    assert refused(lambda: nodes.node_at(m, program.node((2,), [1, 2], references=0).address)) == 'freed'
    assert refused(lambda: nodes.node_at(m, program.node((2, 3), [1] * 6, size=7).address)) == 'corrupt: 7 elements in the shape (2, 3)'
    assert refused(lambda: nodes.node_at(m, program.node((2,), [1, 2], op='\x01\x02').address)) == 'not set yet, or freed'
    assert nodes.node_at(m, program.node((0, 3), []).address).size == 0


def statistics_say_what_is_not_finite():
    assert text.Stats(memoryview(struct.pack('4f', 1, -2, 0, 3)).cast('f')).line() == \
        'min -2  max 3  mean 0.5  std 1.803  norm 3.742  zeros 25%'
    bad = memoryview(struct.pack('4f', 1, math.nan, math.inf, -math.inf)).cast('f')
    assert text.Stats(bad).line() == '1 NaN, 2 inf, and of the others: min 1  max 1  mean 1  std 0  norm 1'
    assert text.Stats(bad[1:2]).line() == '1 NaN'
    assert text.norm_text(bad) == '1 NaN, 2 inf' and text.norm_text(None) == '-' and text.first_bad(bad) == 1
    large = memoryview(bytes(struct.pack('f', 2.0) * 1_500_000)).cast('f')
    assert text.Stats(large).sampled and abs(text.Stats(large).norm / (2 * math.sqrt(1_500_000)) - 1) < 1e-2
    assert text.norm_text(large) == '~2449' and text.Stats(large).range_text() == '~2 .. ~2'
    large = memoryview(bytes(struct.pack('f', 2.0) * 1_500_000)[:-4] + struct.pack('f', math.nan)).cast('f')    # in no sample
    assert text.norm_text(large) == '1 NaN' and text.Stats(large).line().startswith('1 NaN, and of the others: min 2')


def a_tensor_is_one_line():
    _, w, x, h, p, loss, names = small_net()
    assert text.one_line(h, names) == '#1 (2, 2) in 1 .. 4, norm 5.477, grad norm 0.7071 <- matmul net.cpp:8'
    assert text.one_line(p, names) == 'p (2, 2) in 0.25 .. 0.75, norm 1.061, grad norm 2 <- #2 softmax net.cpp:9'
    assert text.one_line(loss, names) == 'loss () = 2, grad norm 1 <- #3 sum net.cpp:9'
    assert text.one_line(x) == 'leaf (2, 2) in 0 .. 1, norm 1.414 net.cpp:7'


def numbers_stand_in_rows_and_what_changed_has_a_star():
    program, w, x, h, p, loss, names = small_net()
    assert text.tensor_text(h, names, before=(h.values(), memoryview(struct.pack('4f', 0.5, 0, 0, 0)).cast('f'))).splitlines() == [
        '#1 (2, 2) = matmul(leaf, w)  made at net.cpp:8 in mlp.fc1',
        '  value  min 1  max 4  mean 2.5  std 1.118  norm 5.477',
        '  grad   min -0.5  max 0.5  mean 0  std 0.3536  norm 0.7071  zeros 50%',
        'value                   | grad',
        '            0         1 |             0         1',
        ' 0          1         2 |  0        0.5         0',
        ' 1          3         4 |  1          0     *-0.5']
    assert 'needs' not in text.tensor_text(x, names) and text.tensor_text(x, names).splitlines()[0] == 'leaf (2, 2), constant  made at net.cpp:7'
    assert 'none: it asks for no gradient (requires_grad() was not called)' in text.tensor_text(x, names, gradient_only=True)
    constant = program.node((1,), [1], op='exp', id=9, inputs=[x], requires_grad=False)
    assert text.tensor_text(constant, names).startswith('#9 (1) = exp(leaf), constant')
    assert text.tensor_text(p, names, gradient_only=True).startswith('d loss / d p (2, 2)  made at net.cpp:9\n  grad')
    waits = Program().node((1,), [1], grad=[7e8], grad_is_unset=True, grad_rows=1)
    assert 'gathered, to be added' in text.tensor_text(waits, names) and 'none yet' not in text.tensor_text(waits, names)


def a_large_tensor_is_cut():
    lines = text.grid((3, 40, 50), [float(i) for i in range(6000)], width=60)
    assert len(lines) == 15 and all(len(line) <= 60 for line in lines)
    assert lines[0].split() == ['0', '1', '2', '...', '49'] and lines[-2] == '...'
    assert lines[-1].split() == ['2', '39', '5950', '5951', '5952', '5999']
    for width in (10, 20, 31, 38, 60, 80):    # no line is wider, however long its numbers are
        for numbers in ([1.0, 2.0, 3.0, 4.0], [0.1234, -1.234e-07, -2.1390e+10, -9.277e-11]):
            assert max(map(len, text.grid((1, 4), numbers, [0.0] * 4, width))) <= max(width, 27)
    assert text.grid((1, 4), [1.0, 2.0, 3.0, 4.0], width=31)[0].split() == ['0', '...']
    assert text.grid((), [3.0]) == ['            0', '            3']


def a_picture_shows_what_is_large():
    assert text.heat((2, 2), [0.0, 1.0, -0.5, 0.1]).splitlines() == ['  0 1 ', '0   @@', '1 ++..', "|v| from 0 ' ' to 1 '@'"]
    merged = text.heat((64, 96), [0.0] * (64 * 96 - 1) + [-3.0]).splitlines()
    assert len(merged) == 34 and merged[-2].endswith('@@') and merged[-1].endswith('a cell is the largest of 2 x 3')
    assert '!!' in text.heat((2,), [math.nan, 1.0]) and text.heat((2,), [0.0, 0.0]).splitlines()[1].strip() == ''
    assert '\033[48;2;0;0;255m' in text.heat((2,), [-1.0, 1.0], 'full') and '\033[48;2;255;0;0m' in text.heat((2,), [-1.0, 1.0], 'full')


def a_tape_has_norms_up_to_where_it_stands():
    program, w, x, h, p, loss, names = small_net()
    run = program.run([w, h, p, loss], 1)
    assert text.tape(program.memory, run, names).splitlines() == [
        '     |gradient|',
        '  .          1  #3 loss () = sum(p)          net.cpp:9',
        '  .          2  #2 p (2, 2) = softmax(#1)    :9',
        '=>      0.7071  #1 (2, 2) = matmul(leaf, w)  :8 in mlp.fc1',
        '                w (2, 2) leaf                :7']
    assert text.tape(program.memory, run, names, width=50).splitlines()[1] == '  .          1  #3 loss () = sum(p)      net.cpp:9'
    assert text.tape(program.memory, run, names, kind='softmax').splitlines()[1:] == ['  .          2  #2 p (2, 2) = softmax(#1)  net.cpp:9']
    assert refused(lambda: text.tape(program.memory, run, names, kind='tanh')) == "no op of this pass is called 'tanh'"
    assert '(released)' in text.tape(program.memory, program.run([w, h, None, None], 1), names)
    around = text.tape(program.memory, program.run([w] * 50 + [h] + [p] * 50, 50), names, around=2).splitlines()
    assert around[1].strip() == '.  ... 48 done' and around[-1].strip() == '... 48 to come' and len(around) == 8


def a_graph_is_listed_and_drawn():
    program, w, x, h, p, loss, names = small_net()
    behind = nodes.graph_behind(program.memory, loss.address)
    assert text.graph(behind, names).splitlines()[1] == '       5.477     0.7071  #1 (2, 2) = matmul(leaf, w)  net.cpp:8 in mlp.fc1'
    drawn = text.dot(behind, names)
    assert r'label="#1 matmul (2, 2)\nnorm 5.477, grad norm 0.7071\ntutorials/net.cpp:8"' in drawn and drawn.count('->') == 4
    assert r'label="p (2, 2)\n#2 softmax\nnorm' in drawn and 'style=dashed' in drawn
    many = text.graph([h] * 100, names)
    assert len(many.splitlines()) == 41 and '... 61 more: graph -all' in many


def the_first_nan_is_found_forward_before_backward():
    program, w, x, h, p, loss, names = small_net()
    assert text.why_not_finite(nodes.graph_behind(program.memory, loss.address), names) == ''
    bad = program.node((2,), [1, math.nan], op='log', id=4, inputs=[p])
    after = program.node((2,), [math.nan, math.nan], op='exp', id=5, inputs=[bad])
    found = text.why_not_finite(nodes.graph_behind(program.memory, after.address), names)
    assert found.startswith('the first NaN is element (1) of the value of #4 (2) = log(p)\n  made at net.cpp:7\n  input  p (2, 2): min 0.25')
    y = program.node((2,), [0, 4], grad=[math.inf, 1], op='exp', id=6, inputs=[w])
    root = program.node((2,), [0, 2], grad=[1, 1], op='sqrt', id=7, inputs=[y])
    found = text.why_not_finite(nodes.graph_behind(program.memory, root.address), names)
    assert found.startswith('all values are finite; the first inf in a gradient is element (0) of d#6, after backward of\n  #7 (2) = sqrt(#6)')


def what_is_held_keeps_what_is_behind_it():
    program, w, x, h, p, loss, names = small_net()
    again = program.node((), [2], grad=[1], op='sum', id=3, inputs=[p], line=9, references=3)
    lines = text.held_text(list(nodes.live_nodes(program.memory)), [again.address], text.Names()).splitlines()
    assert lines[1].split() == ['2', '6', '128', 'sum', '()', 'net.cpp:9']
    assert text.held_text([w], [], names).endswith('1 tensor is alive, 32 bytes of values and gradients')
    assert lines[-1] == '6 tensors are alive, 128 bytes of values and gradients'
    assert [line.split()[3] for line in lines[2:-1]] == ['#1']    # p has no handle but those of the graph


def a_sample_says_that_it_is_one_and_where_there_is_nothing_that_is_said():
    large = memoryview(struct.pack('f', 0.5) * 1_500_000).cast('f')
    stats = text.Stats(large)
    assert stats.count >= 250_000 and stats.line().endswith('  (of a sample)')
    assert text.Stats(memoryview(b'').cast('f')).line() == 'no elements'
    half = memoryview(struct.pack('4f', 0, 1, math.nan, math.inf)).cast('f')
    assert text.Stats(half).line().endswith('zeros 50%')    # of those that are numbers


def a_tensor_s_own_name_comes_before_that_of_a_variable_and_of_many_inputs_four_are_named():
    program, w, x, h, p, loss, names = small_net()
    assert text.Names({w.address: 'another'}).short(w) == 'w'
    many = program.node((2,), [1, 2], op='concat', id=9, inputs=[w, x, h, p, loss])
    assert names.node(many) == '#9 (2) = concat(w, leaf, #1, p, ...)'
    assert text.one_line(program.node((2,), [1, math.nan], name='n')) == 'n (2) with 1 NaN net.cpp:7'


def what_was_nan_and_is_nan_has_not_changed():
    lines = text.grid((2,), [math.nan, math.nan], before=[math.nan, 1.0])
    assert lines[1].split() == ['NaN', '*NaN']


def as_many_columns_as_fit_are_shown_whole_and_value_stands_above_grad_where_both_are_too_wide():
    assert text.chosen(3, 3) == [0, 1, 2] and text.chosen(4, 3) == [0, None, 3]
    program = Program()
    wide = program.node((1, 3), [1, 2, 3], grad=[4, 5, 6], name='w')
    lines = text.tensor_text(wide, text.Names(), width=40).splitlines()
    assert lines.index('value') < lines.index('grad')
    side_by_side = text.tensor_text(wide, text.Names(), width=80).splitlines()
    assert 'value' not in side_by_side and max(map(len, side_by_side[3:])) <= 80


def a_graph_of_leaves_shows_them_and_its_picture_quotes_names():
    program = Program()
    leaf = program.node((1,), [1], grad=[2], name='the "w"', requires_grad=False)
    assert 'the "w" (1)' in text.graph([leaf], text.Names())
    drawn = text.dot([leaf], text.Names())
    assert r'label="the \"w\" (1)\nnorm 1\ntutorials' in drawn and 'grad norm' not in drawn


def a_gradient_that_no_op_handed_on_is_not_blamed():
    program = Program()
    w = program.node((1,), [1], grad=[math.inf], name='w')
    y = program.node((1,), [1], op='exp', id=1, inputs=[w])    # its own gradient has not arrived
    assert text.why_not_finite(nodes.graph_behind(program.memory, y.address), text.Names()) == ''
    first = program.node((1,), [1], grad=[math.inf], op='exp', id=2, inputs=[w])
    last = program.node((1,), [1], grad=[1], op='log', id=3, inputs=[first])
    found = text.why_not_finite(nodes.graph_behind(program.memory, last.address), text.Names())
    assert 'of d#2, after backward of\n  #3' in found    # the way back comes to #3 first


def what_is_held_in_a_pass_is_not_the_program_s_and_of_many_lines_the_largest_are_shown():
    program, w, x, h, p, loss, names = small_net()
    alone = program.node((), [2], op='sum', id=3, references=1)
    assert text.held_text([alone], [alone.address], text.Names()).splitlines()[-2:] == [
        'held   keeps tensors, bytes', '1 tensor is alive, 4 bytes of values and gradients']
    many = [program.node((1,), [1], name='n%d' % i, line=i + 1) for i in range(42)]
    lines = text.held_text(many, [], text.Names()).splitlines()
    assert len(lines) == 43 and lines[-2] == '  ... and 2 lines of less'


def memory_is_read_to_the_end_of_a_page_and_no_further():
    program = Program()
    long_text = program.put(b'x' * 100 + b'\0')    # 101 bytes: the third 40 are not all there
    assert program.memory.text(long_text) == 'x' * 100
    assert refused(lambda: program.node((), [1], name='n' * 301).name) == 'a name of 301 bytes'
    m = program.memory
    assert refused(lambda: nodes.node_at(m, program.node((-1, -2), [1, 2]).address)).startswith('corrupt')
    assert refused(lambda: nodes.node_at(m, program.node((2,), [], size=2).address)) == 'not set yet'
    cut = program.node((64,), [1.0] * 64)
    program.bytes[cut.data] = program.bytes[cut.data][:128]
    assert refused(lambda: nodes.node_at(m, cut.address)) == 'not set yet, or freed'
    before = len(list(nodes.live_nodes(m)))
    program.node((1,), [1], references=0)    # another thread is freeing it
    assert len(list(nodes.live_nodes(m))) == before


def a_pass_to_come_has_the_nodes_that_want_gradients_and_leaves_come_first():
    program, w, x, h, p, loss, names = small_net()
    late = program.node((2, 2), [1, 2, 3, 4], name='late')    # a leaf that was made after #3
    late_sum = program.node((), [1], op='add', id=4, inputs=[loss, late])
    behind = nodes.graph_behind(program.memory, late_sum.address)
    assert [n.is_leaf for n in behind] == [True] * 3 + [False] * 4
    coming = nodes.PassToCome(program.memory, late_sum.address)
    assert x.address not in coming.order and w.address in coming.order and coming.node == 0


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if callable(test) and getattr(test, '__module__', '') == '__main__' and '_' in name and name not in ('small_net',):
            try:
                test()
                passed += 1
            except Exception:
                failed += 1
                print(name.replace('_', ' '))
                traceback.print_exc(file=sys.stdout)
    print('%d passed, %d failed' % (passed, failed))
    sys.exit(failed > 0)


main()
