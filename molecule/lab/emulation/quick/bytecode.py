"""Keeps what Python compiles out of the archives that Ansible sends.

A module comes as an archive of source code, and compiling that takes an emulated host longer than
running it. Only the time changes: what is kept is found by the content of the source, and who may
not write it compiles as ever.
"""

import _imp
import marshal
import os
import sys
import zipimport

FOLDER = f"/run/lab-bytecode-{sys.implementation.cache_tag}"
# It has no public name.
compile_source = zipimport._compile_source  # type: ignore[attr-defined]


def compile_once(path: str, source: bytes) -> object:
    """The code of a module, from its path in the archive and its source."""
    kept = f"{FOLDER}/{_imp.source_hash(len(source), source).hex()}"
    try:
        with open(kept, "rb") as found:
            # Not load(), which asks the file for every few bytes.
            return marshal.loads(found.read())  # noqa: S302  the folder is root's
    except (OSError, EOFError, ValueError):
        code = compile_source(path, source)
    try:
        os.makedirs(FOLDER, exist_ok=True)
        with open(f"{kept}.{os.getpid()}", "wb") as file:
            marshal.dump(code, file)
        os.rename(file.name, kept)
    except OSError:
        pass
    return code


zipimport._compile_source = compile_once  # type: ignore[attr-defined]
