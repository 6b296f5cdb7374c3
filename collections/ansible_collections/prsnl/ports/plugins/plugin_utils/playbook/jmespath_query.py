# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath, with errors that name the option."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError

try:
    import jmespath
except ImportError as error:
    JMESPATH_ERROR: ImportError | None = error
else:
    JMESPATH_ERROR = None

_LONGEST: t.Final = 200


def compiled(option: str, expression: str) -> t.Callable[[t.Any], t.Any]:
    """The function that gives an expression's value for some data.

    It and the compilation raise AnsibleError if the expression isn't JMESPath or doesn't suit the
    data.
    """
    if JMESPATH_ERROR is not None:
        raise AnsibleError(
            "prsnl.ports needs the Python library jmespath on the controller: run pip install"
            " jmespath in the environment of ansible-playbook"
        ) from JMESPATH_ERROR
    fault = f"{option}: found {expression!r}, allowed is a JMESPath expression (jmespath.org): "
    try:
        search = jmespath.compile(expression).search
    except jmespath.exceptions.JMESPathError as error:
        raise AnsibleError(f"{fault}{_reason(error)}") from None

    def value(data: t.Any) -> t.Any:
        try:
            return search(data)
        # jmespath lets Python's own errors through, such as those of comparing a text to a number.
        except (jmespath.exceptions.JMESPathError, ArithmeticError, TypeError, ValueError) as error:
            raise AnsibleError(f"{fault}{_reason(error)}") from None

    return value


def _reason(error: Exception) -> str:
    reason = str(error).partition("\n")[0].rstrip(":")
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}..."
