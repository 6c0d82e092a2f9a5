"""What VS Code's C++ extension does with .vscode/launch.json, through gdb's machine interface and in its order: the setup commands
before the program is loaded; then commands typed as `-exec tape`, and the tensors of its variables pane.

    vscode.py PROGRAM
"""

import json
import os
import subprocess
import sys

from session import BIN, ROOT, check_debugger, environment

check_debugger('gdb')
with open(os.path.join(ROOT, '.vscode', 'launch.json'), encoding='utf-8') as file:
    configurations = {c['type']: c for c in json.load(file)['configurations']}
with open(os.path.join(ROOT, '.vscode', 'tasks.json'), encoding='utf-8') as file:
    tasks = [task['label'] for task in json.load(file)['tasks']]

gdb = configurations['cppdbg']
commands = [c['text'].replace('${workspaceFolder}', ROOT) for c in gdb['setupCommands']]
commands += ['-file-exec-and-symbols "%s"' % os.path.abspath(sys.argv[1]), '-exec-arguments --threads 1 --quick', '-exec-run']
typed = ['tape', 'backstep masked_softmax', 'up 3']
commands += ['-interpreter-exec console "%s"' % command for command in typed]
commands += ['-stack-list-variables --simple-values', '-var-create output * output', '-gdb-exit']

# Each command waits for the answer to the one before, and -exec-run for the stop.
process = subprocess.Popen(['gdb', '-nx', '-q', '--interpreter=mi2', '-iex', 'set debuginfod enabled off'], env=environment({}), text=True,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors='replace')
said = ''
for command in commands:
    process.stdin.write(command + '\n')
    process.stdin.flush()
    waits_for = ('*stopped',) if command == '-exec-run' or 'backstep' in command else ('^done', '^error', '^exit', '^running')
    for line in process.stdout:
        said += line
        if line.startswith(waits_for) or line.startswith('^error'):
            break
process.stdin.close()
said += process.stdout.read()
process.wait(timeout=60)

passed = failed = 0


def check(holds, what):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    if not holds:
        print('NOT so: ' + what)


check('declined' not in said and 'Undefined command' not in said, 'the script loads without a complaint')
check('|gradient|' in said and '= masked_softmax(look.scores, real_tokens)' in said, '-exec tape shows the pass that will be made')
check('backward of #10 look.weights' in said, '-exec backstep stands in an op')
check('name="output"' in said and 'output (1, 2) in ' in said, 'the variables pane shows a tensor in one line')
check(gdb['preLaunchTask'] in tasks and configurations['lldb']['preLaunchTask'] in tasks, 'the build task is there')
check(os.path.isfile(configurations['lldb']['initCommands'][0].split('"')[1].replace('${workspaceFolder}', ROOT)), "lldb's script is there")
if failed:
    print(said)
print('%d passed, %d failed' % (passed, failed))
sys.exit(failed > 0)
