# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which finder reads which file."""

from __future__ import annotations

import enum
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import (
    commands,
    places,
    yaml_nodes,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.context import Context
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds import (
    code,
    compose,
    dockerfile,
    env,
    javascript,
    json_files,
    kubernetes,
    markdown,
    nginx,
    prometheus,
    python,
    settings,
    systemd,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Mention
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import PLAIN, Setting


class Kind(enum.Enum):
    """How a file is read."""

    CODE = "code"
    CONF = "conf"
    DOCKERFILE = "dockerfile"
    ENV = "env"
    JAVASCRIPT = "javascript"
    JSON = "json"
    MARKDOWN = "markdown"
    PACKAGE = "package"
    PYTHON = "python"
    SHELL = "shell"
    UNIT = "unit"
    YAML = "yaml"


_SUFFIXES: t.Final = {
    **dict.fromkeys(("md", "mdx", "markdown", "rst", "adoc", "txt"), Kind.MARKDOWN),
    **dict.fromkeys(("py", "pyi", "wsgi"), Kind.PYTHON),
    **dict.fromkeys(
        ("js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "svelte", "vue", "astro"),
        Kind.JAVASCRIPT,
    ),
    **dict.fromkeys(("yml", "yaml"), Kind.YAML),
    **dict.fromkeys(("json", "jsonc", "json5"), Kind.JSON),
    **dict.fromkeys(
        ("conf", "cfg", "ini", "toml", "properties", "cnf", "nginx", "vhost"),
        Kind.CONF,
    ),
    **dict.fromkeys(("sh", "bash", "zsh", "fish", "ps1", "bat", "cmd", "mk"), Kind.SHELL),
    **dict.fromkeys(
        (
            "go", "rs", "java", "kt", "kts", "scala", "rb", "php", "cs", "fs", "swift", "ex", "exs",
            "erl", "clj", "lua", "pl", "dart", "tf", "hcl", "nix", "gradle", "xml", "sql", "html",
        ),
        Kind.CODE,
    ),
}  # fmt: skip
_NAMES: t.Final = {
    **dict.fromkeys(("makefile", "gnumakefile", "procfile", "justfile", "vagrantfile"), Kind.SHELL),
    **dict.fromkeys(("caddyfile", "haproxy"), Kind.CONF),
    "package.json": Kind.PACKAGE,
}
_DOCKERFILE: t.Final = re.compile(
    r"(?:dockerfile|containerfile)(?:[._-].*)?|.+\.(?:dockerfile|containerfile)", re.IGNORECASE
)
_DOCKER_CODE: t.Final = re.compile(r"\.(?:md|py|sh|js|ts|json|ya?ml|txt)$", re.IGNORECASE)
# Examples and templates are of the kind of what is made from them.
_TEMPLATES: t.Final = (
    *(".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".template", ".example", ".sample", ".dist"),
    *(".in", ".default", ".bak"),
)
_TEMPLATE: t.Final = re.compile(r"\.[a-z0-9]+$")
_UNITS: t.Final = (".service", ".socket", ".container", ".pod", ".conf")
# Made by tools, or about something else: versions, texts of licences, bundles.
_BUNDLES: t.Final = (".min.js", ".bundle.js")
_OTHER_STARTS: t.Final = (
    *("package-lock", "npm-shrink", "composer.lock", "pnpm-lock", "requirements", "constraints"),
    *("robots", "cmakelists", "licen", "copying", "third", "change", "history", "news", "release"),
)
_OTHERS: t.Final = re.compile(
    r"package-lock\.json|npm-shrinkwrap\.json|composer\.lock|pnpm-lock\.ya?ml"
    r"|requirements.*\.txt|constraints.*\.txt|robots\.txt|cmakelists\.txt"
    r"|licen[cs]e.*|copying.*|third[-_]party.*|changelog.*|changes\.(?:md|rst|txt)"
    r"|history\.(?:md|rst)|news\.(?:md|rst)|release[-_]?notes.*",
    re.IGNORECASE,
)
_SETTLED: t.Final = frozenset((Kind.ENV, Kind.DOCKERFILE, Kind.UNIT, Kind.PACKAGE))
_LANGUAGES: t.Final = {
    **dict.fromkeys(("yaml", "yml", "docker-compose", "compose"), Kind.YAML),
    **dict.fromkeys(("env", "dotenv", "environment"), Kind.ENV),
    **dict.fromkeys(("ini", "toml", "conf", "cfg", "properties", "nginx"), Kind.CONF),
    **dict.fromkeys(
        ("bash", "sh", "shell", "console", "zsh", "powershell", "ps1", "cmd", "bat", "terminal"),
        Kind.SHELL,
    ),
    **dict.fromkeys(("python", "py"), Kind.PYTHON),
    **dict.fromkeys(("ts", "typescript", "js", "javascript", "svelte", "tsx"), Kind.JAVASCRIPT),
    **dict.fromkeys(("json", "jsonc"), Kind.JSON),
    **dict.fromkeys(("dockerfile", "docker"), Kind.DOCKERFILE),
}


def kind_of(path: str) -> Kind | None:
    """How a file is read, by its path; None if no finder knows files of that name.

    Every file of a tree is asked for, so what is rarely needed is looked at last.
    """
    name = path[path.rfind("/") + 1 :]
    plain = _TEMPLATE.sub("", name) if name.endswith(_TEMPLATES) else name
    lower = plain.lower()
    if lower.startswith(_OTHER_STARTS) and _OTHERS.fullmatch(name):
        return None
    special = _special(path, name, plain)
    if special is not None:
        return special
    stem, _dot, suffix = lower.rpartition(".")
    if lower.endswith(_BUNDLES):
        return None
    return _NAMES.get(lower) or (_SUFFIXES.get(suffix) if stem else None)


def _special(path: str, name: str, plain: str) -> Kind | None:
    """The kind of a file that isn't known by its suffix alone."""
    lower = plain.lower()
    if "env" in lower and (env.is_env_name(name) or env.is_env_name(plain)):
        return Kind.ENV
    if lower.endswith(_UNITS) and systemd.is_unit_name(path):
        return Kind.UNIT
    if "file" in lower and _DOCKERFILE.fullmatch(name) and not _DOCKER_CODE.search(name):
        return Kind.DOCKERFILE
    site = "." not in name and path.split("/")[-2:-1] in (["sites-available"], ["sites-enabled"])
    return Kind.CONF if site else None


def is_settled(path: str, kind: Kind) -> bool:
    """Whether a file is worth reading whatever numbers are in it."""
    if kind in _SETTLED:
        return True
    return ("compose" in path and compose.is_compose_name(path)) or (
        "vite" in path and javascript.is_vite_name(path)
    )


def find(kind: Kind, text: str, context: Context) -> t.Iterator[Mention]:
    """The ports of a file."""
    yield from _find(kind, Part.whole(text), context, PLAIN)


def _find(kind: Kind, part: Part, context: Context, setting: Setting) -> t.Iterator[Mention]:
    if kind is Kind.YAML:
        yield from _find_yaml(part, context, setting)
        return
    finder: dict[Kind, t.Callable[[], t.Iterator[Mention]]] = {
        Kind.CODE: lambda: code.find(part, setting),
        Kind.CONF: lambda: _find_conf(part, context, setting),
        Kind.DOCKERFILE: lambda: dockerfile.find(part),
        Kind.ENV: lambda: env.find(part, context),
        Kind.JAVASCRIPT: lambda: javascript.find(part, setting),
        Kind.JSON: lambda: _find_json(json_files.find(part, setting), part, setting),
        Kind.MARKDOWN: lambda: markdown.find(part, _block(context)),
        Kind.PACKAGE: lambda: _find_json(json_files.find_package(part), part, setting),
        Kind.PYTHON: lambda: python.find(part, setting),
        Kind.SHELL: lambda: commands.command(part, setting, own=False),
        Kind.UNIT: lambda: systemd.find(part, context.path),
    }
    yield from places.unique(finder[kind]())


def _find_conf(part: Part, context: Context, setting: Setting) -> t.Iterator[Mention]:
    if nginx.is_nginx(part.string):
        where = context.project.setting_of("nginx")
        yield from nginx.find(part, where.also(*setting.names))
    else:
        yield from settings.find_lines(part, setting)


def _find_json(mentions: t.Iterator[Mention], part: Part, setting: Setting) -> t.Iterator[Mention]:
    try:
        yield from mentions
    except ValueError:
        # JSON with comments, as editors and TypeScript have it.
        yield from javascript.find(part, setting)


def _find_yaml(part: Part, context: Context, setting: Setting) -> t.Iterator[Mention]:
    whole = part == Part.whole(part.text)
    try:
        tree = (context.nodes if whole else None) or yaml_nodes.Tree(part)
    except ValueError:
        # Templates of YAML aren't YAML.
        yield from places.unique(code.find(part, setting))
        return
    project = context.project
    if not whole or context.path not in project:
        project = compose.Project()
        project.add(context.path, tree)
    if context.path in project:
        yield from project.find(context.path, tree)
    elif any(map(kubernetes.is_kubernetes, tree.roots)):
        yield from places.unique(kubernetes.find(tree))
    elif any(map(prometheus.is_prometheus, tree.roots)):
        where = context.project.setting_of("prometheus")
        yield from places.unique(prometheus.find(tree, where.also(*setting.names)))
    elif not any(map(_is_registry, tree.roots)):
        yield from settings.find_yaml(tree, setting)


def _is_registry(root: yaml_nodes.Node) -> bool:
    keys = dict(yaml_nodes.entries(root)).keys()
    return {"version", "environments", "services"} <= keys


def _block(context: Context) -> markdown.FindBlock:
    def find_block(language: str, part: Part, setting: Setting) -> t.Iterator[Mention]:
        kind = _LANGUAGES.get(language, Kind.CODE)
        inner = Context(path=f"{context.path}/block.service")
        yield from _find(Kind.UNIT if language == "systemd" else kind, part, inner, setting)

    return find_block
