# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions to servers of which each can answer, such as the nodes of a cluster, over HTTPS."""

from __future__ import annotations

import base64
import http
import json
import ssl
import typing as t
import urllib.error
import urllib.request

# Seconds for an answer.
PATIENCE = 15.0


class Answer(t.NamedTuple):
    """What a server answers; the status is 0 if none does."""

    status: int
    text: str
    url: str = ""

    @property
    def content(self) -> t.Any:
        """The text as JSON; an empty object if it is something else."""
        try:
            return json.loads(self.text)
        except ValueError:
            return {}


class Servers:
    """Servers of which the first one that answers counts.

    :param urls: their addresses, without paths.
    :param authority: the certificates that theirs are signed by, in PEM format; empty for the
        system's own.
    :raises OSError: the authority is none.
    :raises ValueError: the same.
    """

    def __init__(self, urls: t.Sequence[str], authority: str, user: str, password: str) -> None:
        self.urls = list(urls)
        context = ssl.create_default_context(cadata=authority) if authority else None
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._basic = f"Basic {login}"

    def ask(
        self,
        path: str,
        method: str = "GET",
        authorization: str = "",
        *,
        body: t.Any = None,
        urls: t.Optional[t.Sequence[str]] = None,
        patience: float = PATIENCE,
    ) -> Answer:
        """Return the first server's answer that is one; the last failure without any.

        :param authorization: the header, instead of the one with user and password.
        :param body: what is sent as JSON, if anything.
        :param urls: those who are asked, instead of all.
        :param patience: seconds for each.
        """
        answer = Answer(0, "there is no node")
        headers = {"Authorization": authorization or self._basic}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        for url in self.urls if urls is None else urls:
            request = urllib.request.Request(  # noqa: S310 - the registry's addresses
                url.rstrip("/") + path, data=data, method=method, headers=headers
            )
            try:
                with self._opener.open(request, timeout=patience) as response:
                    return Answer(response.status, response.read().decode(errors="replace"), url)
            except urllib.error.HTTPError as error:
                if error.code == http.HTTPStatus.REQUEST_TIMEOUT:
                    # Elasticsearch's health, when what was waited for didn't come.
                    return Answer(error.code, error.read().decode(errors="replace"), url)
                answer = Answer(error.code, f"{url} answers {error.code}", url)
                if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                    return answer
            except (OSError, ValueError) as error:
                answer = Answer(0, f"{url}: {getattr(error, 'reason', error)}", url)
        return answer
