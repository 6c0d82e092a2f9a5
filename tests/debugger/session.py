"""Runs debugger sessions and compares what the debugger says with what is written.

    session.py [--update] FILE NAME=PROGRAM ...

FILE is a session, or a page with sessions in its ``` blocks. A session begins with the command that starts it, `$ sh tutorials/run.sh
08 --debug`, `$ gdb states` or `$ lldb states`; what follows are commands after their prompt and what they print. A block that begins
with a prompt goes on with the session before it. NAME=PROGRAM says which program of the build stands for which name. Left out of the
comparison: addresses, process numbers, start-up lines, empty lines.
--update writes down what was said. The exit status is 77 (skipped) where there is no debugger or it may not trace.
"""

import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, 'tutorials', 'debugger', 'bin')
NOISE = re.compile(r'Reading symbols|\[Thread debugging|Using host libthread_db|Starting program|\[New Thread|\[Switching|\[Inferior'
                   r'|warning: |Saved corefile|Core was generated|Program terminated|\[Detaching|Type run: it stops|Breakpoint 1 at .*backward.cpp')


def skip(reason):
    print('skipped: ' + reason)
    sys.exit(77)


def environment(extra):
    kept = {name: value for name, value in os.environ.items() if not name.startswith('LOOKBACK_')}
    return dict(kept, LC_ALL='C.UTF-8', TERM='dumb', HOME='/nonexistent', DEBUGINFOD_URLS='', **extra)


def normalised(text):
    text = re.sub(r'0x[0-9a-f]{4,}', '0x...', text.replace(ROOT + '/', ''))
    text = re.sub(r'[\w./-]*\.\./', '', text)
    text = re.sub(r'Thread \d+ "[^"]*" hit ', '', text)
    text = re.sub(r'(\*\(float\*\)) \d+', r'\1 ...', text)
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if line and not NOISE.match(line)]


def without_library_lines(lines):
    """Somebody who moves a line of the library need not touch a session; --update brings the numbers up to date."""
    own = ('08_additive_attention', 'faults', 'states')
    lines = [re.sub(r'(\w+)\.(cpp|h):\d+', lambda found: found[0] if found[1] in own else found[1] + '.' + found[2], line) for line in lines]
    lines = [re.sub(r'(file src/.*, line) \d+', r'\1', line) for line in lines]
    return [re.sub(r'^\d+\t', '', line) for line in lines]    # the source line under a place


class Session:
    """How it starts, and its commands: each as (block, text)."""

    def __init__(self, blocks):
        self.start = blocks[0][0][2:]
        self.commands = [(i, line.split(') ', 1)[1]) for i, block in enumerate(blocks) for line in block
                         if re.match(r'\((gdb|lldb)\) ', line)]

    def run(self, programs):
        words = shlex.split(self.start)
        variables = {}
        while '=' in words[0]:
            name, value = words.pop(0).split('=', 1)
            variables[name] = value
        if words[0] == 'sh':    # sh tutorials/run.sh NN --debug OPTION...
            words.remove('--debug')
            program, options = words[2], ['--threads', '1'] + words[3:]
            return self.gdb(programs[program], options, variables, ['-ex', 'break lookback::backward'])
        program, options = words[1], words[2:]
        return (self.lldb if words[0] == 'lldb' else self.gdb)(programs[program], options, variables, [])

    def gdb(self, program, options, variables, first):
        with tempfile.TemporaryDirectory() as folder:    # for what a session writes
            commands = ['set width 0', 'set height 0', 'set confirm off'] + [command for _, command in self.commands] + ['quit']
            ran = subprocess.run([os.path.join(BIN, 'gdb')] + first + ['--args', os.path.abspath(program)] + options, cwd=folder, text=True,
                                 input='\n'.join(commands) + '\n', env=environment(variables), errors='replace',
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
        said = ran.stdout.split('(gdb) ')[1:][3:]
        said += [''] * (len(self.commands) - len(said))
        return [normalised(output) for output in said]

    def lldb(self, program, options, variables, _):
        """Of lldb's own commands only the prompt is compared: their output differs from version to version."""
        launch = 'process launch -i /dev/null -o /dev/null -- ' + ' '.join(options)
        with tempfile.NamedTemporaryFile('w', suffix='.lldb') as script:
            script.write('\n'.join(launch if c == 'run' else c for _, c in self.commands) + '\n')
            script.flush()
            ran = subprocess.run([os.path.join(BIN, 'lldb'), '-b', '--no-use-colors', '-o', 'command source -e false ' + script.name,
                                  os.path.abspath(program)], text=True, env=environment(variables), errors='replace',
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
        said = re.split(r'^\(lldb\) .*\n', ran.stdout.split("Executing commands in", 1)[-1], flags=re.M)[1:]
        said += [''] * (len(self.commands) - len(said))
        ours = re.compile(r'(tensor|heat|tape|frame variable)\b')
        return [normalised(output) if ours.match(command) else [] for (_, command), output in zip(self.commands, said)]


def check_debugger(name):
    probe = ([os.path.join(BIN, 'gdb'), '-batch', '-ex', 'python print("has python")', '-ex', 'starti', '--args', '/bin/true'] if name == 'gdb'
             else [os.path.join(BIN, 'lldb'), '-b', '-o', 'script print("has python")', '-o', 'process launch -s', '/bin/true'])
    ran = subprocess.run(probe, env=environment({}), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=100)
    if 'is not installed' in ran.stdout:
        skip(name + ' is not installed')
    if 'has python' not in ran.stdout.replace('script print("has python")', ''):
        skip(name + ' has no Python')
    if not re.search(r'stopped|Process \d+ launched', ran.stdout):
        skip(name + ' may not trace a program here')


def sessions_of(lines):
    """Of each session its blocks, as (first line, line after the last)."""
    if not any(line.startswith('```') for line in lines):
        starts = [i for i, line in enumerate(lines) if line.startswith('$ ')] + [len(lines)]
        return [[block] for block in zip(starts, starts[1:])]
    fences = [i for i, line in enumerate(lines) if line.startswith('```')]
    found = []
    for begin, end in zip(fences[::2], fences[1::2]):
        if lines[begin + 1].startswith(('(gdb) ', '(lldb) ')):
            found[-1].append((begin + 1, end))
        elif any(line.startswith(('(gdb) ', '(lldb) ')) for line in lines[begin:end]):
            found.append([(begin + 1, end)])
    return found


def main():
    update = '--update' in sys.argv
    file, *programs = [a for a in sys.argv[1:] if a != '--update']
    programs = dict(a.split('=', 1) for a in programs)
    with open(file, encoding='utf-8') as source:
        lines = source.read().splitlines()
    found = sessions_of(lines)
    failed = 0
    for blocks in reversed(found):
        written = [[line.rstrip() for line in lines[begin:end] if line.strip()] for begin, end in blocks]
        session = Session(written)
        prompt = '(lldb) ' if session.start.startswith('lldb') else '(gdb) '
        said = [['$ ' + session.start]] + [[] for _ in blocks[1:]]
        for (block, command), output in zip(session.commands, session.run(programs)):
            said[block] += [prompt + command] + output
        passes = [without_library_lines(block) for block in said] == [without_library_lines(block) for block in written]
        if passes and (said == written or not update):
            continue
        check_debugger('lldb' if prompt == '(lldb) ' else 'gdb')    # no session can be right where there is none
        failed += 1
        print('\n'.join(difflib.unified_diff(sum(written, []), sum(said, []), 'written', 'said', lineterm='', n=2)))
        for (begin, end), block in reversed(list(zip(blocks, said))):
            lines[begin:end] = block + [''] * (end < len(lines) and not lines[end].startswith('```'))
    if update:
        with open(file, 'w', encoding='utf-8') as out:
            out.write('\n'.join(lines) + '\n')
    print('%d passed, %d failed' % (len(found) - failed, failed))
    sys.exit(1 if failed or not found else 0)


if __name__ == '__main__':
    main()
