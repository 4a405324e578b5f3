"""An answer's text as its tokens come: characters that two tokens share, and texts that end an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HALF = "\ufffd"
"""What a tokenizer writes for bytes that are no character, or not one yet."""


class Speech:
    """The text of one answer. What it has shown it never takes back.

    A tokenizer writes a token's text by what stands before it (a space, another half of a character), so each is
    decoded behind those of the piece before, as TGI and vLLM do; decoding all at every step would cost the square
    of the length.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: tuple[str, ...] = ()) -> None:
        self.text = ""
        """What may be shown."""
        self.stopped = False
        """Whether one of the stops was said."""
        self._tokenizer, self._stop = tokenizer, stop
        self._tokens: list[int] = []
        self._before, self._settled = 0, 0
        """Tokens from the first to the second are the piece before."""
        self._all = ""

    def add(self, token: int) -> None:
        """Hear one token more."""
        self._tokens.append(token)
        piece = self._piece()
        if piece and not piece.endswith(HALF):  # behind a token without text the next would begin a text of its own
            self._before, self._settled = self._settled, len(self._tokens)
            self._hear(piece)

    def end(self) -> None:
        """Show what was held back; half of a character never became one."""
        if not self.stopped:
            self._hear(self._piece().rstrip(HALF))
        if not self.stopped:
            self.text = self._all

    def _piece(self) -> str:
        """The text of the tokens that are not settled."""
        known, all_of_it = (
            str(self._tokenizer.decode(self._tokens[self._before : end], skip_special_tokens=True))
            for end in (self._settled, len(self._tokens))
        )
        return all_of_it[len(known) :]

    def _hear(self, piece: str) -> None:
        begin = len(self._all) - max(map(len, self._stop), default=0)
        self._all += piece
        found = [at for stop in self._stop if (at := self._all.find(stop, max(0, begin))) >= 0]
        if found:
            self.text, self.stopped = self._all[: min(found)], True
        else:
            self.text = self._all[: len(self._all) - self._held()]

    def _held(self) -> int:
        """Characters at the end with which a stop may have begun."""
        begun = (k for stop in self._stop for k in range(1, len(stop)) if self._all.endswith(stop[:k]))
        return max(begun, default=0)
