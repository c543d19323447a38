"""Plain HTTP GET, as Esplora servers answer it."""

from __future__ import annotations

from cryptosupport.transport.http import HttpNode


class RestNode(HttpNode):
    """A server that is asked by path."""

    def get(self, path: str) -> bytes | None:
        """The answer to GET ``path``, or None when the server says that there is no such thing (404).

        Raises `NodeFailed`.
        """
        answer = self.request("GET", path, None, retry=True)
        if 200 <= answer.status < 300:
            return answer.body
        # A web page comes from a gateway or a wrong url; it says nothing about the thing that was asked for.
        if answer.status == 404 and not answer.is_page:
            return None
        raise self.failed("bad_answer", f"HTTP {answer.status}{self.words(answer)}")
