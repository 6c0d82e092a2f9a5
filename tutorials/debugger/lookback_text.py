"""Turns tensors and graphs into text. No debugger is imported here; lookback_nodes.py reads what is shown."""

import math

from lookback_nodes import Node, Unreadable, shape_text

SAMPLE_ABOVE = 1_000_000    # statistics of a larger tensor are those of some 250,000 of its elements


def number(x):
    return '%.4g' % x if x == x else 'NaN'


class Stats:
    def __init__(self, values):
        self.sampled = len(values) > SAMPLE_ABOVE
        every = len(values) // 250_000 if self.sampled else 1
        seen = values[::every].tolist()
        self.bad = []
        if first_bad(values) is not None:
            self.bad = [x for x in values if not math.isfinite(x)]
            seen = [x for x in seen if math.isfinite(x)]
        self.count = len(seen)
        self.low, self.high = (min(seen), max(seen)) if seen else (0, 0)
        self.mean = sum(seen) / self.count if seen else 0
        self.norm = math.hypot(*seen) * math.sqrt(every)
        self.std = math.sqrt(max(0, math.fsum(x * x for x in seen) / self.count - self.mean ** 2)) if seen else 0
        self.zeros = seen.count(0.0)

    def bad_text(self):
        nan = sum(x != x for x in self.bad)
        parts = ['%d NaN' % nan] if nan else []
        return ', '.join(parts + (['%d inf' % (len(self.bad) - nan)] if len(self.bad) > nan else []))

    def about(self, x):
        return '~' * self.sampled + number(x)

    def range_text(self):
        return '%s .. %s' % (self.about(self.low), self.about(self.high))

    def norm_text(self):
        return self.bad_text() or self.about(self.norm)

    def line(self):
        if not self.count and not self.bad:
            return 'no elements'
        text = 'min %s  max %s  mean %s  std %s  norm %s' % tuple(
            map(number, (self.low, self.high, self.mean, self.std, self.norm)))
        if self.zeros:
            text += '  zeros %d%%' % round(100 * self.zeros / self.count)
        if self.bad:
            text = self.bad_text() + (', and of the others: ' + text if self.count else '')
        return text + ('  (of a sample)' if self.sampled else '')


def norm_text(values):
    if values is None:
        return '-'
    if len(values) <= SAMPLE_ABOVE:
        norm = math.hypot(*values.tolist())
        if math.isfinite(norm):
            return number(norm)
    return Stats(values).norm_text()


class Names:
    """What to call a tensor: its own name, that of a variable that holds it (address -> text), or its number."""

    def __init__(self, variables=None):
        self.variables = variables or {}
        self._read = {}

    def given(self, node):
        return node.name or self.variables.get(node.address, '')

    def short(self, node):
        return self.given(node) or ('leaf' if node.is_leaf else '#%d' % node.id)

    def gradient(self, node):
        return 'd' + self.short(node)

    def of(self, memory, address):
        if address not in self._read:
            try:
                self._read[address] = self.short(Node(memory, address))
            except Unreadable:
                self._read[address] = '?'
        return self._read[address]

    def with_shape(self, node):    # as label() in the library
        return self.short(node) + ' ' + shape_text(node.shape)

    def node(self, node):
        """#10 weights (1, 4) = masked_softmax(scores, real_tokens)"""
        given = self.given(node)
        if node.is_leaf:
            return self.with_shape(node) + (' leaf' if given else '') + ('' if node.requires_grad else ', constant')
        inputs = [self.of(node.memory, below) for below in node.inputs[:4]] + ['...'] * (len(node.inputs) > 4)
        return '#%d %s%s = %s(%s)%s' % (node.id, given + ' ' if given else '', shape_text(node.shape), node.op, ', '.join(inputs),
                                        '' if node.requires_grad else ', constant')


def no_gradient(node):
    if node.requires_grad:
        return 'none yet: no backward pass has reached it'
    why = 'requires_grad() was not called' if node.is_leaf else 'no input of it does, or it was made under NoGrad'
    return 'none: it asks for no gradient (%s)' % why


def made_at(node):
    text = node.place or 'an unknown line'
    return text + (' in ' + node.scope if node.scope else '')


def one_line(node, names=Names()):
    """logits (4, 2) in 0.2164 .. 1.433, norm 2.503, grad norm 0.352 <- #12 add main.cpp:13"""
    stats = Stats(node.values())
    text = names.with_shape(node)
    if node.size == 1 and not stats.bad:
        text += ' = ' + number(stats.low)
    elif stats.bad:
        text += ' with ' + stats.bad_text()
    elif node.size:
        text += ' in %s, norm %s' % (stats.range_text(), stats.norm_text())
    if node.grad:
        text += ', grad norm ' + norm_text(node.gradients())
    if not node.is_leaf:
        text += ' <- ' + ('#%d ' % node.id if names.given(node) else '') + node.op
    return text + ' ' + node.place if node.place else text


# ---- Numbers in rows and columns ----------------------------------------------------------------------------------------------

def rows_of(shape):
    """(B, T, C) is shown as B T rows of C: the labels of these rows, and C."""
    if not shape:
        return [''], 1
    labels = ['']
    for n in shape[:-1]:
        labels = ['%s%d ' % (label, i) for label in labels for i in range(n)]
    return labels, shape[-1]


def chosen(count, most):
    """Indices to show of so many, None for a gap."""
    if count <= most:
        return list(range(count))
    return list(range(most - 2)) + [None, count - 1] if most > 2 else [0, None]


def grid(shape, values, before=None, width=38, most_rows=14):
    """Numbers in at most `width` columns of text; those that differ from `before` carry a star."""
    labels, columns = rows_of(shape)
    shown_rows = chosen(len(labels), most_rows)
    label_width = max([len(labels[r]) for r in shown_rows if r is not None] + [3])

    def cell(at):
        changed = before is not None and before[at] != values[at] and (before[at] == before[at] or values[at] == values[at])
        return ('*' if changed else '') + number(values[at])

    for most in range(max(1, (width - label_width) // 10), 0, -1):    # fewer where a number is longer
        shown_columns = chosen(columns, most)
        cells = [[None if r is None or c is None else cell(r * columns + c) for c in shown_columns] for r in shown_rows]
        cell_width = max([10] + [len(text) + 1 for row in cells for text in row if text])
        if label_width + cell_width * len(shown_columns) <= width:
            break
    lines = [' ' * label_width + ''.join(('...' if c is None else str(c)).rjust(cell_width) for c in shown_columns)]
    for r, row in zip(shown_rows, cells):
        lines.append('...' if r is None else labels[r].rjust(label_width) + ''.join((text or '').rjust(cell_width) for text in row))
    return lines


def tensor_text(node, names, gradient_only=False, before=(None, None), width=80):
    """Header, statistics, and the numbers; `before` holds value and gradient as they were when last shown."""
    values, gradients = node.values(), node.gradients()
    head = names.with_shape(node)
    head = 'd loss / d ' + head if gradient_only else names.node(node)
    lines = [head + ('  made at ' + made_at(node) if node.place else '')]
    if not gradient_only:
        lines.append('  value  ' + Stats(values).line())
    if gradients is not None:
        lines.append('  grad   ' + Stats(gradients).line())
    elif node.grad_waits:
        lines.append('  grad   gathered, to be added many rows at a time; LOOKBACK_CHECK=1 adds them at once')
    elif node.requires_grad or gradient_only:
        lines.append('  grad   ' + no_gradient(node))
    if node.size == 0 or (gradient_only and gradients is None):
        return '\n'.join(lines)
    if gradient_only:
        return '\n'.join(lines + grid(node.shape, gradients, before[1], width))
    left = grid(node.shape, values, before[0], width)
    if gradients is None:
        return '\n'.join(lines + left)
    right = grid(node.shape, gradients, before[1], width)
    span = max(map(len, left))
    if span + 3 + max(map(len, right)) <= width:
        lines.append('value'.ljust(span) + ' | grad')
        return '\n'.join(lines + [a.ljust(span) + ' | ' + b for a, b in zip(left, right)])
    return '\n'.join(lines + ['value'] + left + ['grad'] + right)


SHADES = ' .:-=+*#%@'


def heat(shape, values, colour=None, most=(32, 32)):
    """A picture: two characters a cell. colour is 'full' (red above 0, blue below) or None for shades of |v|. Where there
    are more rows or columns than fit, a cell is the element of largest magnitude among its own."""
    labels, columns = rows_of(shape)
    rows = len(labels)
    down, across = math.ceil(rows / most[0]) or 1, math.ceil(columns / most[1]) or 1
    cells = []
    for r in range(0, rows, down):
        line = []
        for c in range(0, columns, across):
            block = [values[i * columns + j] for i in range(r, min(r + down, rows)) for j in range(c, min(c + across, columns))]
            bad = [x for x in block if not math.isfinite(x)]
            line.append(bad[0] if bad else max(block, key=abs))
        cells.append((labels[r], line))
    largest = max([abs(x) for _, line in cells for x in line if math.isfinite(x)] + [0]) or 1
    label_width = max(len(label) for label, _ in cells) if cells else 0
    lines = [' ' * label_width + ''.join('%-2d' % (c % 100) for c in range(0, columns, across))]
    for label, line in cells:
        text = label.rjust(label_width)
        for x in line:
            share = abs(x) / largest if math.isfinite(x) else 1
            if not math.isfinite(x):
                text += '!!'
            elif colour == 'full':
                fade = round(255 * (1 - share))
                text += '\033[48;2;%d;%d;%dm  \033[0m' % ((255, fade, fade) if x > 0 else (fade, fade, 255))
            else:
                text += SHADES[min(len(SHADES) - 1, math.ceil(share * (len(SHADES) - 1)))] * 2
        lines.append(text)
    merged = '; a cell is the largest of %d x %d' % (down, across) if down * across > 1 else ''
    if colour == 'full':
        legend = 'blue -%s, white 0, red %s' % (number(largest), number(largest))
    else:
        legend = "|v| from 0 '%s' to %s '%s'" % (SHADES[0], number(largest), SHADES[-1])
    return '\n'.join(lines + [legend + merged])


# ---- Graphs -------------------------------------------------------------------------------------------------------------------

def with_places(rows, width):
    """(text, node) in lines that end with the line of the program; a file is named when it is another than above."""
    places, file = [], None
    for text, node in rows:
        place = ''
        if node is not None and node.line:
            place = ('' if node.file == file else node.file) + ':%d' % node.line + (' in ' + node.scope if node.scope else '')
            file = node.file
        places.append(place)
    column = max(min(len(text), 64) for text, _ in rows)
    return '\n'.join((text.ljust(min(column, width - 2 - len(place))) + '  ' + place).rstrip() for (text, _), place in zip(rows, places))


def tape(memory, run, names, around=10, kind='', width=80):
    """The order of a backward pass: what is done, with the norm of its gradient, what is at work, what is to come."""
    order, at = run.order, run.position
    last = len(order) - 1
    begin = last if around is None else min(last, at + around)
    end = 0 if around is None else max(0, min(at, last) - around)
    rows = [('     |gradient|', None)]
    if begin < last:
        rows.append(('  .  ... %d done' % (last - begin), None))
    for i in range(begin, end - 1, -1):
        node = Node(memory, order[i]) if order[i] else None
        if kind and (node is None or node.op != kind):
            continue
        mark = '  . ' if i > at else '=>  ' if i == at else '    '
        norm = norm_text(node.gradients()) if node and i >= at else ''
        rows.append(('%s %9s  %s' % (mark, norm, names.node(node) if node else '(released)'), node))
    if end > 0:
        rows.append(('     ... %d to come' % end, None))
    if len(rows) == 1:
        raise Unreadable("no op of this pass is called '%s'" % kind)
    return with_places(rows, width)


def graph(nodes, names, most=40, width=80):
    """The ops behind a tensor as they were made, with the norms of value and gradient. Leaves show as inputs."""
    ops = [node for node in nodes if not node.is_leaf] or nodes
    rows = [('     |value| |gradient|', None)]
    for i in chosen(len(ops), most) if most else range(len(ops)):
        if i is None:
            rows.append(('  ... %d more: graph -all' % (len(ops) - most + 1), None))
            continue
        node = ops[i]
        rows.append(('%12s %10s  %s' % (norm_text(node.values()), norm_text(node.gradients()), names.node(node)), node))
    return with_places(rows, width)


def dot(nodes, names):
    """The same in Graphviz's language, with the labels of the library's write_graph()."""
    lines = ['digraph {', '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=11]']
    place = {node.address: i for i, node in enumerate(nodes)}
    for node in nodes:
        text = names.with_shape(node) if names.given(node) or node.is_leaf else '#%d %s %s' % (node.id, node.op, shape_text(node.shape))
        if names.given(node) and not node.is_leaf:
            text += '\n#%d %s' % (node.id, node.op)
        text += '\nnorm ' + norm_text(node.values())
        if node.requires_grad and node.grad:
            text += ', grad norm ' + norm_text(node.gradients())
        text = (text + '\n%s:%d' % (node.path, node.line)).replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')
        style = '' if node.inputs else ', style=filled, fillcolor="#f2e6d9"' if node.requires_grad else ', style=dashed'
        lines.append('  n%d [label="%s"%s]' % (place[node.address], text, style))
        lines += ['  n%d -> n%d' % (place[below], place[node.address]) for below in node.inputs]
    return '\n'.join(lines + ['}'])


def first_bad(values):
    """The flat place of the first NaN or inf, or None."""
    if math.isfinite(sum(values)):    # a NaN or inf anywhere shows in the sum, and that is quick
        return None
    return next((i for i, x in enumerate(values) if not math.isfinite(x)), None)    # finite doubles can have an infinite sum


def place_in(shape, flat):
    index = []
    for n in reversed(shape):
        index.append(flat % n)
        flat //= n
    return shape_text(reversed(index))


def why_not_finite(nodes, names):
    """The first tensor whose value, else whose gradient, is not finite, with what went into it; '' if all are."""
    memory = nodes[0].memory
    for node in nodes:
        bad = first_bad(node.values())
        if bad is None:
            continue
        lines = ['the first %s is element %s of the value of %s' % (number(node.values()[bad]), place_in(node.shape, bad),
                                                                    names.node(node)), '  made at ' + made_at(node)]
        return '\n'.join(lines + ['  input  %s: %s' % (names.with_shape(x), Stats(x.values()).line())
                                  for x in (Node(memory, a) for a in node.inputs)])
    for node in reversed(nodes):    # as backward goes
        for below in node.inputs if node.grad else []:
            x = Node(memory, below)
            bad = first_bad(x.gradients()) if x.grad and x.requires_grad else None
            if bad is None:
                continue
            return '\n'.join([
                'all values are finite; the first %s in a gradient is element %s of %s, after backward of' % (
                    number(x.gradients()[bad]), place_in(x.shape, bad), names.gradient(x)),
                '  %s  made at %s' % (names.node(node), made_at(node)),
                '  arrives %s: %s' % (names.gradient(node), Stats(node.gradients()).line()),
                '  input  %s: %s' % (names.with_shape(x), Stats(x.values()).line())])
    return ''


def held_text(nodes, in_order, names, most=40, width=80):
    """What the program holds, and what that keeps alive: a tensor keeps all behind it. `in_order` are the handles of backward passes
    under way, which are not the program's own."""
    alive = {node.address: node for node in nodes}
    held = {node.address: node.references for node in nodes}
    for below in [below for node in nodes for below in node.inputs] + in_order:
        if below in held:
            held[below] -= 1
    groups = {}
    for node in nodes:
        if held[node.address] > 0:    # what was made at one line, without a name, shares a line
            key = (names.given(node).split('[')[0], 'leaf' if node.is_leaf else node.op, node.shape, node.file, node.line)
            groups.setdefault(key, []).append(node)

    def behind(group):
        seen, stack = set(), [node.address for node in group]
        while stack:
            address = stack.pop()
            if address in alive and address not in seen:
                seen.add(address)
                stack += alive[address].inputs
        return seen

    def size(addresses):
        return sum(alive[a].memory.real_size * alive[a].size * (2 if alive[a].grad else 1) for a in addresses)

    lines = []
    for key, group in groups.items():
        kept, node = behind(group), group[0]
        kind = 'leaf' if node.is_leaf else node.op
        if names.given(node) or len(group) == 1 and not node.is_leaf:
            kind = (key[0] + '[...]' if len(group) > 1 and '[' in names.given(node) else names.short(node)) + ' ' + kind
        lines.append((size(kept), len(kept), len(group), kind + ' ' + shape_text(node.shape), node))
    lines.sort(key=lambda line: -line[0])
    rows = [('held   keeps tensors, bytes', None)]
    for kept_size, kept, count, what, node in lines[:most]:
        rows.append(('%4d %8d %12s  %s' % (count, kept, '{:,}'.format(kept_size), what), node))
    text = with_places(rows, width)
    if len(lines) > most:
        text += '\n  ... and %d lines of less' % (len(lines) - most)
    return text + '\n%s alive, %s bytes of values and gradients' % (
        '1 tensor is' if len(nodes) == 1 else '%d tensors are' % len(nodes), '{:,}'.format(size(alive)))
