"""Plain text from what TRL passes to a reward: a string, or a conversation as a list of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Text = str | Sequence[Mapping[str, str]]
"""A prompt or a completion as TRL passes it."""


def plain(text: Text) -> str:
    """The text itself, or the content of the conversation's last message (the request, or the reply).

    >>> plain([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}])
    'Hello'
    """
    return text if isinstance(text, str) else text[-1]["content"]
