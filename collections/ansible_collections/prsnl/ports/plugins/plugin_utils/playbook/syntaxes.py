# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A text as a value in a file of somebody else's: one function for each syntax.

What is read there is the text again, whatever is in it; a syntax that has no way to say a text
refuses it. Every function raises SyntaxesError with what was found and what is allowed.
"""

from __future__ import annotations

import json
import re
import typing as t
import urllib.parse

_CONTROL: t.Final = re.compile(r"[\x00-\x1f\x7f]")
# Of them an environment variable may have tabs and ends of lines.
_CONTROL_OF_ENVIRONMENT: t.Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# What readers of YAML 1.1 don't take, or take for the end of a line (YAML 1.2.2, 5.1 and 5.4).
_NOT_YAML: t.Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_ESCAPES: t.Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class SyntaxesError(Exception):
    """A text that a syntax can't express."""


def _refuse(text: str, where: str, allowed: str) -> t.NoReturn:
    """It may be a secret, so what is told of it is what is in the way."""
    odd = _CONTROL.search(text)
    what = f"U+{ord(odd[0]):04X} at position {odd.start() + 1}" if odd else "a text"
    raise SyntaxesError(
        f"found {what} (of {len(text)} characters) for {where}, allowed is {allowed}"
    )


def url_part(value: t.Any) -> str:
    """A user, a password, or one segment of the path of a URL (RFC 3986, section 2.1)."""
    return urllib.parse.quote(str(value), safe="")


def libpq_value(value: t.Any) -> str:
    """The value of a keyword in a connection string of libpq (its manual, 34.1.1.1)."""
    text = str(value)
    if "\0" in text:
        _refuse(text, "a connection string", "text without NUL")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def systemd_text(value: t.Any) -> str:
    """The value of an option of a unit that is shown to people, such as Description.

    `%` would begin a specifier (systemd.unit(5)), and a backslash at the end takes the next line
    in; nothing escapes that, so a space follows it, which is cut off when it is read. Blanks around
    a text are cut off too.
    """
    text = str(value)
    if _CONTROL.search(text):
        _refuse(text, "a unit of systemd", "one line without control characters")
    text = text.strip(" ").replace("%", "%%")
    return f"{text} " if text.endswith("\\") else text


def systemd_word(value: t.Any) -> str:
    """A word of a command line in a unit (systemd.service(5), "COMMAND LINES")."""
    return systemd_argument(value).replace("$", "$$").replace("%", "%%")


def systemd_argument(value: t.Any) -> str:
    """A word in a variable that a command line in a unit takes in as `$NAME`.

    It is split into words, and nothing else happens to it.
    """
    text = str(value)
    if "\0" in text:
        _refuse(text, "a command line", "text without NUL")
    if re.fullmatch(r"[A-Za-z0-9_@+=:,./\[\]-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(_ESCAPES.get(char, char) for char in escaped)
    return '"' + _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", escaped) + '"'


def systemd_environment(value: t.Any) -> str:
    """The value of a variable in a file for EnvironmentFile= (systemd.exec(5))."""
    text = str(value)
    if _CONTROL_OF_ENVIRONMENT.search(text):
        _refuse(text, "an environment variable", "text whose control characters are tab and LF")
    return '"' + re.sub(r'(["\\`$])', r"\\\1", text) + '"'


def yaml_value(value: t.Any) -> str:
    """Plain data on one line, as readers of YAML 1.1 and of 1.2 take it."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return _NOT_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def pg_hba_name(value: t.Any) -> str:
    """The name of a role or a database in pg_hba.conf: no keyword, group, file or pattern."""
    text = str(value)
    if not text or _CONTROL.search(text) or text.startswith("/"):
        _refuse(text, "pg_hba.conf", "a name on one line that doesn't start with / (a pattern)")
    return '"' + text.replace('"', '""') + '"'


def ini_value(value: t.Any) -> str:
    """The value of an option of Grafana's; `$__file{...}` and `${...}` in it still count.

    The three quotes are those of gopkg.in/ini.v1, which Grafana reads it with.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _CONTROL.search(text) or '"""' in text:
        _refuse(text, "an ini file", 'one line without """')
    plain = text == text.strip() and not re.search(r"[#;`\"'\\]", text)
    return text if plain else f'"""{text}"""'


def flag_value(value: t.Any) -> str:
    """The value of a flag in a flagfile of Abseil's, as DragonflyDB reads it: all of the line."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _CONTROL.search(text) or text != text.strip():
        _refuse(text, "a flagfile", "one line without blanks around it")
    return text


def nginx_value(value: t.Any) -> str:
    """A parameter of a directive of nginx, as text in which no variable is."""
    text = str(value)
    if _CONTROL.search(text) or "$" in text:
        _refuse(text, "nginx", "one line without $, which nginx can't say")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def nginx_comment(value: t.Any) -> str:
    """What follows a # of nginx."""
    return _CONTROL.sub(" ", str(value))


FILTERS: t.Final[dict[str, t.Callable[[t.Any], str]]] = {
    function.__name__: function
    for function in (
        flag_value,
        ini_value,
        libpq_value,
        nginx_comment,
        nginx_value,
        pg_hba_name,
        systemd_argument,
        systemd_environment,
        systemd_text,
        systemd_word,
        url_part,
        yaml_value,
    )
}
