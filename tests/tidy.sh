#!/bin/sh
# sh tests/tidy.sh [PATTERN]: clang-tidy with the checks of .clang-tidy on every C++ source of the tree, or on those whose path
# matches. Prints what it finds, and `N passed, N failed`: sources. Needs clang-tidy 14. Some 20 minutes.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/tutorials/setup.sh"
build=$root/.build/tests list=$root/.build/tidy
tidy=$(command -v clang-tidy-14 || command -v clang-tidy) || { echo 'skipped: clang-tidy is not installed' && exit 77; }
configure "$build" doctest -Dwerror=true

# Meson's list of commands has files that include several sources, of which clang-tidy would say nothing, and not all that scripts compile.
mkdir -p "$list"
python3 - "$root" "$build" >"$list/compile_commands.json" <<'END'
import json, pathlib, re, shlex, sys

root, build = sys.argv[1:]
commands = {}
for entry in json.loads(pathlib.Path(build, "compile_commands.json").read_text()):
    main = pathlib.Path(entry["directory"], entry["file"]).resolve()
    is_several = re.search(r"-unity\d+\.cpp$", main.name)
    for source in re.findall("#include<(.*)>", main.read_text()) if is_several else [main]:
        source = str(pathlib.Path(source).resolve())
        commands.setdefault(source, entry["command"].removeprefix("ccache ").replace(entry["file"], shlex.quote(source)))
reader = f"{root}/src/io/safetensors.cpp"  # what Meson does not compile
for folder in ("src", "tests", "tutorials", "datasets"):
    for source in map(str, pathlib.Path(root, folder).rglob("*.cpp")):
        commands.setdefault(source, commands[reader].replace(shlex.quote(reader), shlex.quote(source)) + f" {shlex.quote(f'-I{root}/src')} {shlex.quote(f'-I{root}/include')}")
json.dump([{"directory": build, "file": file, "command": command} for file, command in commands.items()], sys.stdout, indent=1)
END

sources=$(sed -n 's/^  "file": "\(.*\)",$/\1/p' "$list/compile_commands.json" | grep -e "${1-}" | sort)
[ -n "$sources" ] || fail "no source matches '$1'"
echo "$sources" | xargs -P 2 -I {} sh -c '"$0" --quiet -p "$1" "$2" 2>/dev/null || echo "failed: $2"' "$tidy" "$list" {} >"$list/found"
cat "$list/found"
failed=$(grep -c '^failed: ' "$list/found" || true)
echo "$(($(echo "$sources" | wc -l) - failed)) passed, $failed failed"
[ "$failed" = 0 ]
