"""A simulated pfctl: anchors, tables, references and pf.conf, with rules read by a grammar.

Follows pfctl(8) and pf.conf(5) of macOS. The grammar of filter rules is that of the unit tests
(`pf_grammar`, which lists what it leaves out); here are the options, the anchors that pf.conf calls
and loads, and the references of ``-E`` and ``-X``, which are Apple's own. The kernel's state is in
/run and gone after a boot. Not modelled: any packet (the host isn't filtered; tests judge packets
by the rules that this program lists), states, counters, translation, queues, anchors within anchors
but for Apple's wildcard, and that reloading the main ruleset empties other tables.
"""

from __future__ import annotations

import re
import subprocess
import sys
import typing as t
from pathlib import Path

from common import fail, read_json, record, write_json
from pf_grammar import RuleError, parse

KERNEL = Path("/run/simulated/pf.json")
NOISE = "No ALTQ support in kernel\nALTQ related functions disabled\n"
# What Apple's pf.conf consists of, and what `pfctl -s rules` makes of the filter's part.
CALL = re.compile(r'anchor "([^"]+)"( all)?')
SCRUB = re.compile(r'scrub-anchor "([^"]+)"( all fragment reassemble)?')
OTHER = re.compile(r'(nat|rdr|dummynet)-anchor "[^"]+"')
LOAD = re.compile(r'load anchor "([^"]+)" from "([^"]+)"')


def addresses() -> list[str]:
    done = subprocess.run(["/bin/hostname", "-I"], capture_output=True, text=True, check=False)
    return ["127.0.0.1", "::1", *done.stdout.split()]


def read_main(text: str) -> tuple[str, dict[str, str]]:
    """Return the rules of a main ruleset as they are listed, and the files that anchors get."""
    rules, loads, plain = [], {}, []
    if text and not text.endswith("\n"):
        raise RuleError("the last line has no end")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words or OTHER.fullmatch(words):
            continue
        if match := LOAD.fullmatch(words):
            loads[match[1]] = match[2]
        elif match := SCRUB.fullmatch(words):
            rules.append(f'scrub-anchor "{match[1]}" all fragment reassemble')
        elif match := CALL.fullmatch(words):
            rules.append(f'anchor "{match[1]}" all')
        elif words.split()[0] in ("pass", "block", "table"):
            plain.append(words)
            parse("".join(f"{line}\n" for line in plain), addresses())
            rules += [words] if words.split()[0] != "table" else []
        else:
            raise RuleError(f"stdin:{number}: syntax error")
    return "".join(f"{rule}\n" for rule in rules), loads


def read_anchor(text: str) -> dict[str, t.Any]:
    found = parse(text, addresses())
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return {
        "rules": "".join(f"{line}\n" for line in lines if line.startswith(("pass", "block"))),
        "tables": {name: [shown(n) for n in networks] for name, networks in found.tables.items()},
    }


def shown(network: t.Any) -> str:
    """As ``-T show`` writes it: an address without its length."""
    return str(network.network_address if network.num_addresses == 1 else network)


class Options:
    def __init__(self, words: list[str]) -> None:
        self.anchor = self.show = self.flush = self.file = self.table = self.command = ""
        self.release = ""
        self.flags: set[str] = set()
        values = {"-a": "anchor", "-s": "show", "-F": "flush", "-f": "file", "-t": "table"}
        values |= {"-T": "command", "-X": "release"}
        while words:
            word = words.pop(0)
            if word in values:
                if not words:
                    fail(1, f"pfctl: option requires an argument -- {word[1:]}")
                setattr(self, values[word], words.pop(0))
            elif word in ("-n", "-E", "-R", "-v", "-q"):
                self.flags.add(word)
            else:
                fail(1, f"pfctl: the simulation knows no {word}")


def main() -> None:
    record("/sbin/pfctl")
    asked = Options(sys.argv[1:])
    kernel = {"main": "", "anchors": {}, "references": {}, "next": 1000, **read_json(KERNEL)}
    sys.stderr.write(NOISE)
    if asked.file:
        load(kernel, asked)
    elif asked.flush:
        flush(kernel, asked)
    elif asked.show:
        show(kernel, asked)
    elif asked.command == "show":
        tables = kernel["anchors"].get(asked.anchor, {}).get("tables", {})
        if asked.table not in tables:
            fail(255, "pfctl: Table does not exist.")
        print("".join(f"   {entry}\n" for entry in tables[asked.table]), end="")
    elif "-E" in asked.flags:
        token = str(kernel["next"])
        kernel["next"] += 1
        kernel["references"][token] = True
        write_json(KERNEL, kernel)
        sys.stderr.write(f"pf enabled\nToken : {token}\n")
    elif asked.release:
        if not kernel["references"].pop(asked.release, None):
            fail(1, f"pfctl: The token {asked.release} is unknown")
        write_json(KERNEL, kernel)
        sys.stderr.write(
            f"disable request successful. {len(kernel['references'])} more pf enable\n"
        )
    else:
        fail(1, "usage: pfctl ...")


def load(kernel: dict[str, t.Any], asked: Options) -> None:
    text = sys.stdin.read() if asked.file == "-" else Path(asked.file).read_text(encoding="utf-8")
    try:
        if asked.anchor:
            kernel["anchors"][asked.anchor] = read_anchor(text)
        else:
            kernel["main"], loads = read_main(text)
            for name, path in loads.items():
                found = Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
                kernel["anchors"].setdefault(name, {"rules": "", "tables": {}})
                if name != "com.apple":
                    kernel["anchors"][name] = read_anchor(found)
    except RuleError as error:
        fail(1, f"{error}\npfctl: Syntax error in config file: pf rules not loaded")
    if "-n" not in asked.flags:
        write_json(KERNEL, kernel)


def flush(kernel: dict[str, t.Any], asked: Options) -> None:
    if not asked.anchor:
        fail(1, "simulated pfctl: nobody flushes the main ruleset of a Mac")
    kernel["anchors"].pop(asked.anchor, None)
    write_json(KERNEL, kernel)
    sys.stderr.write("rules cleared\n")


def show(kernel: dict[str, t.Any], asked: Options) -> None:
    anchor = kernel["anchors"].get(asked.anchor, {"rules": "", "tables": {}})
    texts = {
        "rules": anchor["rules"] if asked.anchor else kernel["main"],
        "Tables": "".join(f"{name}\n" for name in anchor["tables"]) if asked.anchor else "",
        "Anchors": "".join(f"  {name}\n" for name, about in kernel["anchors"].items() if about),
        "info": f"Status: {'Enabled' if kernel['references'] else 'Disabled'}\n",
    }
    if asked.show not in texts:
        fail(1, f"pfctl: Unknown show modifier '{asked.show}'")
    print(texts[asked.show], end="")


if __name__ == "__main__":
    main()
