# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`source <(ports completion bash)`"""

from __future__ import annotations

import argparse
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import main, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    EXPECT,
    Registry,
    mapping,
)

_SCRIPTS: t.Final = {
    "bash": """\
_ports() {
    local IFS=$'\\n'
    COMPREPLY=($(ports completion words -- "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null))
}
complete -o default -F _ports ports""",
    "zsh": """\
#compdef ports
_ports() {
    local -a found
    found=("${(@f)$(ports completion words -- $((CURRENT - 1)) "${words[@]}" 2>/dev/null)}")
    [[ -n "${found[1]}" ]] && compadd -a found || _files
}
compdef _ports ports""",
    "fish": """\
complete -c ports -a '(ports completion words -- (count (commandline -opc)) \
(commandline -opc) (commandline -ct) 2>/dev/null)'""",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments; `words` is what the scripts call."""
    parser.add_argument("shell", choices=(*_SCRIPTS, "words"))
    parser.add_argument("line", nargs="*", help=argparse.SUPPRESS)
    parser.epilog = (
        "bash: source <(ports completion bash); zsh: source <(ports completion zsh) after compinit;"
        " fish: ports completion fish | source"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the script, or the words that fit."""
    if args.shell != "words":
        print(_SCRIPTS[args.shell])
        return 0
    index, words = int(args.line[0]), args.line[1:]
    current = words[index] if index < len(words) else ""
    for word in candidates(words[1:index], current, args):
        print(word)
    return 0


def candidates(before: list[str], current: str, args: argparse.Namespace) -> list[str]:
    """The words that can stand after those before, and start as the current one does."""
    named = next((word for word in before if not word.startswith("-")), None)
    if named not in main.COMMANDS:
        found: t.Iterable[str] = main.COMMANDS if named is None else ()
    else:
        parser = argparse.ArgumentParser(parents=[main.common()])
        main.command(named).add(parser)
        action = _wanted(parser._actions, before[before.index(named) + 1 :])
        if action is not None and action.choices is not None:
            found = map(str, action.choices)
        elif action is not None and not (current.startswith("-") and not action.option_strings):
            found = _known(action.dest, args)
        else:
            found = (name for a in parser._actions for name in a.option_strings)
    return [word for word in found if word.startswith(current)]


def _wanted(actions: t.Sequence[argparse.Action], before: list[str]) -> argparse.Action | None:
    """The argument whose value comes after these words: that of an option, or the next place."""
    by_name = {name: action for action in actions for name in action.option_strings}
    places = [action for action in actions if not action.option_strings]
    option = None
    for word in before:
        if option is not None:
            option = None
        elif word in by_name:
            option = by_name[word] if by_name[word].nargs != 0 else None
        elif not word.startswith("-") and places:
            places.pop(0)
    return option or (places[0] if places else None)


def _known(kind: str, args: argparse.Namespace) -> t.Iterable[str]:
    """The names that the registry has for a kind of argument."""
    try:
        with open(reading.path(args), "rb") as stream:
            data = yaml_source.parse(stream.read())[0]
    except (RegistryError, OSError):
        return []
    registry = Registry.from_data(data)
    kinds: dict[str, t.Iterable[str]] = {
        "endpoint": registry.endpoints,
        "service": registry.services,
        "entry": [*registry.services, *registry.endpoints],
        "range": [span.name for span in registry.ranges],
        "hosts": mapping(registry.data.get("groups")),
        "environment": mapping(registry.data.get("environments")),
        "status": EXPECT,
    }
    return kinds.get(kind, ())
