#!/usr/bin/env python3
"""Run shellcheck on all shell of the repository: scripts, and what other files hold of it.

Scripts are files that begin like one or end in .sh. Of other files: tasks of ansible.builtin.shell
and commands ``sh -c`` in YAML, scripts that tests run on the lab's hosts (``on(host, script)``) and
commands ``sh -c`` in Python, recipes of the Makefile, RUN of the Containerfile. What Jinja, make or
Python fill in later is read as a word.

Usage: shell.py
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SHEBANG = re.compile(rb"#! ?/\S*?(?:/env )?\b(?:ba|da|)sh\b")
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
MAKE = re.compile(r"\$\(\w+\)|\$[@<^]")
CONTAINERFILE = re.compile(r"\$\{[A-Z]+\}")
FILLED_IN = "filled_in"
SHELLS = ("sh", "bash")
NEWLINE = "\n"
# In names of files that stand for a place in another one.
SLASH = "\N{DIVISION SLASH}"


@dataclass(frozen=True)
class Script:
    """Shell that another file holds: from which of its lines on, and who runs it."""

    place: str
    text: str
    shell: str = "sh"


def files() -> list[Path]:
    """What Git has, and would have with `git add`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [Path(name) for name in names.split("\0") if name]
    return [path for path in paths if (ROOT / path).is_file() and not (ROOT / path).is_symlink()]


def in_yaml(path: Path) -> Iterator[Script]:
    """Tasks of the module shell, and `sh -c`."""

    def walk(node: yaml.Node | None) -> Iterator[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            match [word.value for word in node.value]:
                case ["sh" | "bash", "-c", _, *_]:
                    yield node.value[2]
            for item in node.value:
                yield from walk(item)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == "ansible.builtin.shell":
                    parts = value.value if isinstance(value, yaml.MappingNode) else [(key, value)]
                    yield from (part for name, part in parts if name.value in ("cmd", key.value))
                yield from walk(value)

    for document in yaml.compose_all((ROOT / path).read_text(encoding="utf-8"), yaml.SafeLoader):
        for node in walk(document):
            text = JINJA.sub(lambda match: FILLED_IN if match[0][1] == "{" else "", node.value)
            yield Script(f"{path}:{node.start_mark.line + 1}", text)


def in_python(path: Path) -> Iterator[Script]:
    """Scripts for `on`, as they are or by the name of a constant, and `sh -c`."""
    tree = ast.parse((ROOT / path).read_bytes())
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        found: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "on":
            found = node.args[1:2]
        elif isinstance(node, ast.List | ast.Tuple):
            words = [as_text(word) for word in node.elts]
            starts = [i for i, word in enumerate(words) if word in SHELLS]
            found = [node.elts[i + 2] for i in starts if words[i + 1 : i + 2] == ["-c"]]
        for script in found:
            named = constants.get(script.id) if isinstance(script, ast.Name) else script
            text = as_text(named)
            if named is not None and text is not None:
                # On the lab's hosts, root's login shell.
                yield Script(f"{path}:{named.lineno}", text, "bash")


def as_text(node: ast.expr | None) -> str | None:
    """A text of Python; None if it isn't one."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(as_text(part) or FILLED_IN for part in parts)
    return None


def in_makefile(path: Path) -> Iterator[Script]:
    """Each line of a recipe, which make gives to a shell of its own."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for line in re.finditer(r"^\t[@-]*((?:.*\\\n)*.*)$", text, re.MULTILINE):
        script = MAKE.sub(FILLED_IN, line[1]).replace("$$", "$")
        yield Script(f"{path}:{text.count(NEWLINE, 0, line.start()) + 1}", script, "bash")


def in_containerfile(path: Path) -> Iterator[Script]:
    """The instructions that run something."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for run in re.finditer(r"^RUN ((?:.*\\\n)*.*)$", text, re.MULTILINE):
        script = CONTAINERFILE.sub(FILLED_IN, run[1])
        yield Script(f"{path}:{text.count(NEWLINE, 0, run.start()) + 1}", script)


def scripts(path: Path) -> Iterator[Script]:
    """The shell that a file holds which is no script itself."""
    if path.suffix in (".yml", ".yaml"):
        yield from in_yaml(path)
    elif path.suffix == ".py":
        yield from in_python(path)
    elif path.name == "Makefile":
        yield from in_makefile(path)
    elif path.name == "Containerfile":
        yield from in_containerfile(path)


def check(shell: str, folder: Path, names: list[str]) -> bool:
    """Run shellcheck on files of a folder; returns whether it has nothing to say."""
    if not names:
        return True
    command = [str(BIN / "shellcheck"), *([f"--shell={shell}"] if shell else []), *names]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout.replace(SLASH, "/"), end="")
    return done.returncode == 0


def main() -> int:
    """Print what shellcheck says, and return 1 if that is anything."""
    own: dict[str, list[str]] = {"": [], "sh": []}
    held: list[Script] = []
    for path in files():
        with (ROOT / path).open("rb") as file:
            has_shebang = SHEBANG.match(file.readline())
        if has_shebang or path.suffix == ".sh":
            own["" if has_shebang else "sh"].append(str(path))
        else:
            held += scripts(path)
    is_clean = True
    for shell, names in own.items():
        is_clean &= check(shell, ROOT, names)
    with tempfile.TemporaryDirectory() as folder:
        for shell in SHELLS:
            copies = []
            for script in (script for script in held if script.shell == shell):
                copies.append(script.place.replace("/", SLASH))
                Path(folder, copies[-1]).write_text(f"{script.text}\n", encoding="utf-8")
            is_clean &= check(shell, Path(folder), copies)
    print(f"shellcheck: {sum(map(len, own.values()))} scripts, {len(held)} within other files")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
