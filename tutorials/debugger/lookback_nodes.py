"""Reads lookback's tensors out of a program's memory.

No debugger is imported here: the front ends (lookback_gdb.py, lookback_lldb.py) hand in a function that reads bytes, so one reader
serves both, core dumps, and tests without any debugger. Where the members of a Node stand is said by the program itself, in the table
`lookback_layout` (src/tensor/debugger.cpp): so this works in a build without debug information, too.
"""

import math
import re
import struct


class Unreadable(Exception):
    """One line: why there is no tensor to be read there."""


class Memory:
    def __init__(self, read, table):
        """read(address, size) gives bytes or raises an exception; table is the address of lookback_layout."""
        self._read = read
        self.offset, self.address = {}, {}
        self._texts = {}
        for i in range(100):
            name, value, address = struct.unpack('<QQQ', self.read(table + 24 * i, 24))
            if not name:
                break
            name = self.text(name)
            self.offset[name], self.address[name] = value, address
        if 'sizeof Node' not in self.offset:
            raise Unreadable('the program is not running yet')
        self.real_size = self.offset['sizeof real']

    def read(self, address, size):
        try:
            return bytes(self._read(address, size))
        except Exception:
            raise Unreadable('no memory at 0x%x' % address) from None

    def pointer(self, address):
        return struct.unpack('<Q', self.read(address, 8))[0]

    def number(self, address):
        return struct.unpack('<q', self.read(address, 8))[0]

    def text(self, address):
        """A C string. Those of a program stay, so each is read once."""
        if address not in self._texts:
            found = b''
            while len(found) < 400:
                try:
                    part = self.read(address + len(found), 40)
                except Unreadable:    # the end of a page
                    part = self.read(address + len(found), 1)
                found += part
                if b'\0' in part:
                    break
            self._texts[address] = found.split(b'\0')[0].decode('utf-8', 'replace')
        return self._texts[address]

    def reals(self, address, count):
        return memoryview(self.read(address, count * self.real_size)).cast('f' if self.real_size == 4 else 'd')


class Node:
    """A tensor as it stands in memory. Its members are those of lookback::Node (include/lookback/tensor/node.h)."""

    def __init__(self, memory, address):
        self.memory, self.address = memory, address
        if not address:
            raise Unreadable('no tensor')
        self._raw = memory.read(address, memory.offset['sizeof Node'])
        self._inputs = self._shape = self._op = None

    def _get(self, member, kind, offset=0):
        return struct.unpack_from('<' + kind, self._raw, self.memory.offset[member] + offset)[0]

    id = property(lambda self: self._get('id', 'i'))
    chain = property(lambda self: self._get('chain', 'i'))    # that of the thread which made it
    line = property(lambda self: self._get('line', 'I'))
    size = property(lambda self: self._get('size', 'Q'))
    data = property(lambda self: self._get('data', 'Q'))
    grad_place = property(lambda self: self._get('grad', 'Q'))
    grad = property(lambda self: 0 if self._get('grad_is_unset', '?') else self.grad_place)
    grad_waits = property(lambda self: self._get('grad_rows', 'Q') != 0)    # some of it is gathered and not added yet
    requires_grad = property(lambda self: self._get('requires_grad', '?'))
    serial = property(lambda self: self._get('serial', 'Q'))
    references = property(lambda self: self._get('references', 'i'))
    older = property(lambda self: self._get('older', 'Q'))
    scope = property(lambda self: self.memory.text(self._get('scope', 'Q')))
    path = property(lambda self: re.sub(r'^(\.\./)+', '', self.memory.text(self._get('file', 'Q'))))    # as compiled, ../../src/...
    file = property(lambda self: self.path.rsplit('/', 1)[-1])

    @property
    def op(self):
        if self._op is None:
            self._op = self.memory.text(self._get('op', 'Q'))
        return self._op

    @property
    def name(self):    # a std::string: address, length
        length = self._get('name', 'Q', 8)
        if length > 300:
            raise Unreadable('a name of %d bytes' % length)
        return self.memory.read(self._get('name', 'Q'), length).decode('utf-8', 'replace') if length else ''

    def _vector(self, member, width, most):
        begin, end = self._get(member, 'Q'), self._get(member, 'Q', 8)
        if not 0 <= end - begin <= width * most or (end - begin) % width:
            raise Unreadable('%s of %d bytes' % (member, end - begin))
        return self.memory.read(begin, end - begin) if end > begin else b''

    @property
    def shape(self):
        if self._shape is None:
            self._shape = tuple(v[0] for v in struct.iter_unpack('<i', self._vector('shape', 4, 16)))
        return self._shape

    @property
    def inputs(self):
        """Addresses of the inputs; none for a leaf, or where the graph was released."""
        if self._inputs is None:
            self._inputs = [v[0] for v in struct.iter_unpack('<Q', self._vector('inputs', 8, 1 << 20))]
        return self._inputs

    @property
    def callers(self):
        """Return addresses of the functions that called the op, innermost first."""
        found, at = [], self._get('callers', 'Q')
        while at and len(found) < 12:
            address = self.memory.pointer(at + 8 * len(found))
            if not address:
                break
            found.append(address)
        return found

    is_leaf = property(lambda self: self.id == 0)
    place = property(lambda self: '%s:%d' % (self.file, self.line) if self.line else '')

    def values(self):
        return self.memory.reals(self.data, self.size)

    def gradients(self):
        """None before a backward pass has reached it."""
        return self.memory.reals(self.grad, self.size) if self.grad else None

    def element(self, index):
        """The flat place of one element, or Unreadable, which says what is wrong with the index."""
        if len(index) != len(self.shape) or any(not 0 <= i < n for i, n in zip(index, self.shape)):
            raise Unreadable('no element %s in the shape %s' % (shape_text(index), shape_text(self.shape)))
        flat = 0
        for i, n in zip(index, self.shape):
            flat = flat * n + i
        return flat


def shape_text(shape):
    return '(%s)' % ', '.join(map(str, shape))


def node_at(memory, address):
    """The node, if what stands there can be one. A handle that is not constructed yet, or whose tensor is gone, holds anything."""
    if not address:
        raise Unreadable('no tensor')
    try:
        node = Node(memory, address)
        if node.references <= 0:
            raise Unreadable('freed')
        if node.references > 1 << 30 or node.id < 0 or not node.op.isidentifier():
            raise Unreadable('not set yet, or freed')
        shape = node.shape
        if any(n < 0 for n in shape) or math.prod(shape) != node.size:
            raise Unreadable('corrupt: %d elements in the shape %s' % (node.size, shape_text(shape)))
        for buffer in (node.data, node.grad):
            if node.size and buffer:
                memory.read(buffer, memory.real_size)
                memory.read(buffer + (node.size - 1) * memory.real_size, memory.real_size)
        if node.size and not node.data:
            raise Unreadable('not set yet')
        node.name, node.place, node.scope
        return node
    except Unreadable as error:
        text = str(error)
        raise Unreadable(text if text[:4] in ('free', 'corr', 'not ') else 'not set yet, or freed') from None


def live_nodes(memory):
    """All tensors of the program, thread by thread, the newest first. One that another thread is just making or freeing is left out."""
    for chain in range(memory.offset['count of chains']):
        address = memory.pointer(memory.address['node_chains'] + chain * memory.offset['sizeof NodeChain'])
        for _ in range(10_000_000):
            if not address:
                break
            node = Node(memory, address)
            address = node.older
            if node.references > 0 and node.data:
                yield node


def first_made(found):
    """Of some live nodes the oldest of the first thread that has any, which is the model where its shards' replicas have its names."""
    return [node for node in found if node.chain == found[0].chain][-1] if found else None


def graph_behind(memory, address):
    """The nodes behind one and itself, in the order in which they were made; leaves first."""
    found = {address: Node(memory, address)}
    stack = [address]
    while stack:
        for below in found[stack.pop()].inputs:
            if below not in found:
                found[below] = Node(memory, below)
                stack.append(below)
    return sorted(found.values(), key=lambda node: (not node.is_leaf, node.serial))


class BackwardRun:
    """A backward pass under way: `order` as the nodes were made, `position` of the one at work."""

    def __init__(self, memory, address):
        self.memory = memory
        at = {name[4:]: memory.number(address + offset) for name, offset in memory.offset.items() if name.startswith('run.')}
        self.position, self.thread, self.older = at['position'], at['thread'], at['older']
        order = memory.read(at['order'], 8 * at['count']) if at['count'] else b''
        self.order = [v[0] for v in struct.iter_unpack('<Q', order)]

    @property
    def node(self):
        return self.order[self.position] if self.position < len(self.order) else 0


class PassToCome:
    """The same before it has begun."""

    def __init__(self, memory, loss):
        self.order = [node.address for node in graph_behind(memory, loss) if node.requires_grad]
        self.position, self.node = len(self.order), 0


def backward_runs(memory):
    """All that are under way, the newest first."""
    found, address = [], memory.pointer(memory.address['newest_backward'])
    while address and len(found) < 1000:
        found.append(BackwardRun(memory, address))
        address = found[-1].older
    return found
