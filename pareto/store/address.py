"""The address of a PostgreSQL storage, and how it is shown: never with its password."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlencode

from pareto.errors import ParetoError

# Strict on purpose: where an odd character stood unescaped, the place at which the password ends would be a guess.
_URL = re.compile(
    r"postgres(?:ql)?(?:\+psycopg)?://"
    r"(?:(?P<user>[^:@/?#{}\s]*)(?::(?P<password>[^:@/?#{}\s]*))?@)?"
    r"(?P<place>[^@/?#{}\s]*/[^:@/?#{}\s]+)"
    r"(?:\?(?P<query>[^?#{}\s]*))?"
)
_SECRETS = ("password", "sslpassword")


def driver_url(url: str) -> str:
    """The address as psycopg 3 itself reads it, ``postgresql://…``.

    Raises:
        ParetoError: when it is not the address of a PostgreSQL database. The message does not repeat it.
    """
    return "postgresql://" + _parse(url).string.partition("://")[2]


def shown(url: str) -> str:
    """The address without its passwords, fit for files and messages. Raises as ``driver_url`` does."""
    parts = _parse(url)
    user = f"{parts['user']}@" if parts["user"] else ""
    kept = [(k, v) for k, v in parse_qsl(parts["query"] or "", keep_blank_values=True) if k not in _SECRETS]
    return f"postgresql://{user}{parts['place']}" + (f"?{urlencode(kept, safe='/')}" if kept else "")


def scrubbed(text: str, url: str) -> str:
    """A library's message as one line, with the address's passwords starred out."""
    parts = _parse(url)
    found = [unquote(parts["password"] or "")] + [v for k, v in parse_qsl(parts["query"] or "") if k in _SECRETS]
    for secret in filter(None, found):
        text = text.replace(secret, "***")
    return " ".join(text.split())


def _parse(url: str) -> re.Match[str]:
    match = _URL.fullmatch(url)
    if match is None:
        raise ParetoError(
            "storage: not the address of a PostgreSQL database; write postgresql://user:password@host:port/database, "
            "with special characters in the password percent-encoded"
        )
    return match
