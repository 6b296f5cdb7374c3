# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written in a foreign syntax is read as itself by the parser of the program."""

from __future__ import annotations

import ctypes
import ctypes.util
import glob
import json
import pathlib
import re
import shutil
import subprocess
import typing as t
import urllib.parse

import hypothesis
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import filtering, syntaxes
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import source as yaml_source
from hypothesis import strategies as st

NASTY = [
    *("a@b/c", "é", "100%", "%h %n", "$HOME", "${A}", "$$", "`id`", "a#b", "a ; b", "#", ";"),
    *("'", '"', "a'b\"c", "\\", "a\\", "a\\\\", "\\n", 'a\\"', '"a"', "'a'", " a", "a ", " a b "),
    *(
        "",
        "a b",
        "a\tb",
        "no",
        "null",
        "1",
        "1e3",
        "- a",
        "{a}",
        "[a]",
        "a: b",
        "\U0001f600",
        "商店",
    ),
    *(
        "a=b",
        "--x",
        "/a",
        "+a",
        "@a",
        "all",
        "?a&b",
        "user:pass@host",
        "a,b",
        '"""',
        "%%",
        "\u00a0",
    ),
    *("a\u2028b", "\ufeffa", "a\x85b"),
]
LINES = ["a\nb", "a\r\nb", "\n", "a\n", "a\nrequirepass="]
LIBRARIES = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so")
needs_systemd = pytest.mark.skipif(not LIBRARIES, reason="systemd's own parser isn't installed")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)


class _Item(ctypes.Structure):
    """ConfigTableItem of systemd's conf-parser.h."""

    _fields_: t.ClassVar = [
        ("section", ctypes.c_char_p),
        ("lvalue", ctypes.c_char_p),
        ("parse", ctypes.c_void_p),
        ("ltype", ctypes.c_int),
        ("data", ctypes.c_void_p),
    ]


class Systemd:
    """The parsers of systemd's library."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARIES[0])
        self._c = ctypes.CDLL(None)
        self._c.fopen.restype = ctypes.c_void_p
        self._c.fclose.argtypes = [ctypes.c_void_p]

    def environment(self, file: pathlib.Path) -> dict[str, str]:
        """What EnvironmentFile= reads."""
        load = self._library.load_env_file
        load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        result = ctypes.POINTER(ctypes.c_char_p)()
        stream = self._c.fopen(bytes(file), b"r")
        assert load(stream, bytes(file), ctypes.byref(result)) == 0
        self._c.fclose(stream)
        pairs = {}
        for entry in iter(result):
            if entry is None:
                break
            name, _equals, value = entry.decode().partition("=")
            pairs[name] = value
        return pairs

    def options(self, file: pathlib.Path, *names: str) -> list[str]:
        """The options of the section Unit, before specifiers are expanded."""
        values = [ctypes.c_char_p() for _index in names]
        table = (_Item * (len(names) + 1))()
        parse = ctypes.cast(self._library.config_parse_string, ctypes.c_void_p)
        for item, name, value in zip(table, names, values, strict=False):
            item.section, item.lvalue, item.parse = b"Unit", name.encode(), parse.value
            item.data = ctypes.addressof(value)
        lookup = ctypes.cast(self._library.config_item_table_lookup, ctypes.c_void_p)
        read = self._library.config_parse
        read.argtypes = [
            *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p),
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
        ]
        stream = self._c.fopen(bytes(file), b"r")
        code = read(None, bytes(file), stream, b"Unit\0", lookup, table, 2, None, None)
        self._c.fclose(stream)
        assert code >= 0
        return [(value.value or b"").decode() for value in values]

    def words(self, text: str) -> list[str]:
        """The words of a command line, before variables and specifiers are expanded."""
        extract = self._library.extract_first_word
        rest = ctypes.c_char_p(text.encode())
        found: list[str] = []
        while True:
            word = ctypes.c_char_p()
            # EXTRACT_UNQUOTE | EXTRACT_CUNESCAPE, as config_parse_exec() has them.
            code = extract(ctypes.byref(rest), ctypes.byref(word), None, (1 << 5) | (1 << 1))
            assert code >= 0, text
            if code == 0:
                return found
            found.append((word.value or b"").decode())


def said(function: t.Callable[[t.Any], str], text: str) -> str | None:
    """What a function writes; None if it refuses the text."""
    try:
        return function(text)
    except syntaxes.SyntaxesError:
        return None


@needs_systemd
def test_environment_files(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "app.env"
    rows = {f"V{n}": text for n, text in enumerate([*NASTY, *LINES])}
    good = {name: said(syntaxes.systemd_environment, text) for name, text in rows.items()}
    assert [rows[name] for name, value in good.items() if value is None] == ["a\r\nb"]
    file.write_text("# x\n" + "".join(f"{n}={v}\n" for n, v in good.items() if v is not None))
    assert Systemd().environment(file) == {n: rows[n] for n, v in good.items() if v is not None}


@needs_systemd
@pytest.mark.parametrize("text", [*NASTY, *LINES])
def test_unit_options(text: str, tmp_path: pathlib.Path) -> None:
    value = said(syntaxes.systemd_text, text)
    if "\n" in text or "\t" in text:
        assert value is None
        return
    file = tmp_path / "x.service"
    file.write_text(f"[Unit]\nDescription={value}\nAfter=network.target\n", encoding="utf-8")
    description, after = Systemd().options(file, "Description", "After")
    assert after == "network.target"
    assert re.search(r"%(?!%)", description.replace("%%", "")) is None
    assert description.replace("%%", "%") == text.strip(" ")


@needs_systemd
def test_words_of_command_lines() -> None:
    texts = [text for text in [*NASTY, *LINES] if text]
    parser = Systemd()
    line = " ".join(map(syntaxes.systemd_argument, texts))
    assert parser.words(line) == texts
    words = parser.words(" ".join(map(syntaxes.systemd_word, texts)))
    assert [word.replace("%%", "%").replace("$$", "$") for word in words] == texts
    assert parser.words(syntaxes.systemd_argument("") + " a") == ["", "a"]


@needs_systemd
def test_words_in_a_variable(tmp_path: pathlib.Path) -> None:
    """As the roles of exporters write them: quoted twice, read twice."""
    texts = ["--web.listen-address=[::]:1", "--a=b c", '--q="', "--p=%d$X", "é"]
    line = " ".join(map(syntaxes.systemd_argument, texts))
    file = tmp_path / "x"
    file.write_text(f"ARGS={syntaxes.systemd_environment(line)}\n", encoding="utf-8")
    parser = Systemd()
    assert parser.words(parser.environment(file)["ARGS"]) == texts


class _Option(ctypes.Structure):
    """PQconninfoOption of libpq-fe.h."""

    _fields_: t.ClassVar = [
        *((name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val")),
        *((name, ctypes.c_char_p) for name in ("label", "dispchar")),
        ("dispsize", ctypes.c_int),
    ]


def _conninfo(text: str) -> dict[str, str]:
    """What libpq reads in a connection string or a URL."""
    name = ctypes.util.find_library("pq")
    if name is None:
        pytest.skip("libpq isn't installed")
    library = ctypes.CDLL(name)
    library.PQconninfoParse.restype = ctypes.POINTER(_Option)
    error = ctypes.c_char_p()
    options = library.PQconninfoParse(text.encode(), ctypes.byref(error))
    assert options, error.value
    result = {}
    for option in iter(options):
        if option.keyword is None:
            break
        if option.val is not None:
            result[option.keyword.decode()] = option.val.decode()
    return result


@pytest.mark.parametrize("text", [*NASTY, *LINES])
def test_connection_strings(text: str) -> None:
    value = syntaxes.libpq_value(text)
    line = f"host=db password={value} user={value}"
    wanted = {"host": "db", "password": text, "user": text}
    assert _conninfo(line) == {key: word for key, word in wanted.items() if word or key != "x"}


@pytest.mark.parametrize("text", [text for text in [*NASTY, *LINES] if text])
def test_urls(text: str) -> None:
    part = syntaxes.url_part(text)
    url = f"postgresql://{part}:{part}@db.example:1/{part}"
    parsed = urllib.parse.urlsplit(url)
    assert (parsed.hostname, parsed.port) == ("db.example", 1)
    for given in (parsed.username, parsed.password, parsed.path[1:]):
        assert urllib.parse.unquote(given or "") == text
    assert _conninfo(url) == {
        "user": text,
        "password": text,
        "dbname": text,
        "host": "db.example",
        "port": "1",
    }


@pytest.mark.parametrize("text", [*NASTY, *LINES])
def test_yaml(text: str) -> None:
    """By PyYAML (1.1), by libyaml without its resolver, and as JSON."""
    for data in (text, {"k": [text, 1, True, None]}):
        line = syntaxes.yaml_value(data)
        assert "\n" not in line
        assert yaml.safe_load(f"a: {line}\nb: 1\n") == {"a": data, "b": 1}
        assert yaml.load(f"a: {line}\nb: 1\n", yaml.CSafeLoader) == {"a": data, "b": 1}
        assert json.loads(line) == data
    if text.isprintable():
        assert yaml_source.parse(f"a: {syntaxes.yaml_value(text)}\n".encode())[0] == {"a": text}


@hypothesis.given(TEXTS)
def test_yaml_of_any_text(text: str) -> None:
    assert yaml.load(f"a: {syntaxes.yaml_value(text)}\n", yaml.CSafeLoader) == {"a": text}


def _ini(line: str) -> str:
    """The value of a line, by the rules of gopkg.in/ini.v1 (parser.go, readValue)."""
    rest = line.partition("=")[2].strip()
    if len(rest) > 3 and rest.startswith('"""'):
        end = rest[3:].rfind('"""')
        assert end >= 0
        return rest[3 : 3 + end]
    assert not rest.endswith("\\")
    cut = re.search(r"[#;]", rest)
    rest = rest[: cut.start()].strip() if cut else rest
    for quote in "\"'`":
        assert not (len(rest) > 1 and rest[0] == rest[-1] == quote)
    return rest


@pytest.mark.parametrize("text", [*NASTY, *LINES])
def test_ini(text: str) -> None:
    value = said(syntaxes.ini_value, text)
    if "\n" in text or "\t" in text or '"""' in text:
        assert value is None
    else:
        assert _ini(f"name = {value}") == text


@pytest.mark.parametrize("text", [*NASTY, *LINES])
def test_flagfiles(text: str) -> None:
    value = said(syntaxes.flag_value, text)
    if value is None:
        assert re.search(r"[\t\r\n]", text) or text != text.strip()
    else:
        assert value == text


def _hba_tokens(line: str) -> list[str]:
    """The tokens of a line, by the rules of PostgreSQL (hba.c, next_token)."""
    tokens, token, inside, was_quote = [], "", False, False
    for char in f"{line} ":
        if char == " " and not inside:
            tokens.append(token)
            token = ""
            continue
        if char != '"' or was_quote:
            token += char
        was_quote = char == '"' and inside and not was_quote
        if char == '"':
            inside = not inside
    return tokens


@pytest.mark.parametrize("text", [*NASTY, *LINES])
def test_names_of_pg_hba(text: str) -> None:
    value = said(syntaxes.pg_hba_name, text)
    if value is None:
        assert not text or text[0] == "/" or re.search(r"[\t\r\n]", text)
    else:
        assert _hba_tokens(f"host {value} x") == ["host", text, "x"]


def _nginx() -> str:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx isn't installed")
    return program


@pytest.mark.parametrize("text", [*NASTY, *LINES])
def test_nginx(text: str, tmp_path: pathlib.Path) -> None:
    value = said(syntaxes.nginx_value, text)
    if "$" in text or re.search(r"[\t\r\n]", text):
        assert value is None
        return
    assert value is not None
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\])*"', value)
    assert re.sub(r"\\(.)", r"\1", value[1:-1]) == text
    if program := shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        file = tmp_path / "nginx.conf"
        file.write_text(
            f"pid {tmp_path}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; add_header X-Site {value}; }}\n",
            encoding="utf-8",
        )
        done = subprocess.run([program, "-t", "-q", "-c", str(file)], check=False)
        assert done.returncode == 0


def test_comments_of_nginx_stay_on_their_line() -> None:
    assert "\n" not in syntaxes.nginx_comment("a\nb; c")


@pytest.mark.parametrize("name", sorted(syntaxes.FILTERS))
def test_filters_take_what_is_plain(name: str) -> None:
    assert "plain" in filtering.filters(name)[name]("plain")


@pytest.mark.parametrize(
    "name", sorted(set(syntaxes.FILTERS) - {"nginx_comment", "url_part", "yaml_value"})
)
def test_filters_say_what_is_wrong_and_keep_secrets(name: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        filtering.filters(name)[name]("hunter2\0")
    assert "hunter2" not in str(caught.value)
    assert f"{name}: found U+0000 at position 8 (of 8 characters)" in str(caught.value)
