"""An answer's text as its tokens come, against the text of all of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pareto.inference.server.speech import HALF, Speech


class Pieces:
    """A tokenizer whose k-th token stands for the k-th of some bytes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return b"".join(self.pieces[i] for i in ids).decode(errors="replace")


def said(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[str], Speech]:
    """What was shown after each token until a stop, and the speech at its end."""
    tokenizer: Any = Pieces(pieces)
    speech, shown = Speech(tokenizer, stop), [""]
    for token in range(len(pieces)):
        speech.add(token)
        shown.append(speech.text)
        if speech.stopped:
            break
    speech.end()
    return [*shown, speech.text], speech


@st.composite
def split(draw: st.DrawFn, of: st.SearchStrategy[bytes]) -> list[bytes]:
    whole = draw(of)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(whole) - 1)), max_size=12)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if whole[a:b]]


words = st.text("abé😀 ", max_size=14)
stops = st.lists(st.text("abé😀 ", min_size=1, max_size=4), max_size=3).map(tuple)


@given(split(st.binary(max_size=12)))
def test_the_end_is_the_text_of_all_tokens_and_nothing_shown_is_taken_back(pieces: list[bytes]) -> None:
    shown, speech = said(pieces)
    assert speech.text == b"".join(pieces).decode(errors="replace").rstrip(HALF)
    assert all(later.startswith(earlier) for earlier, later in pairwise(shown))
    assert not any(text.endswith(HALF) for text in shown)


@given(split(words.map(str.encode)), stops)
def test_an_answer_ends_before_the_first_stop_that_was_said(pieces: list[bytes], stop: tuple[str, ...]) -> None:
    expected, stopped = b"".join(pieces).decode(), False
    for k in range(1, len(pieces) + 1):
        try:
            text = b"".join(pieces[:k]).decode()
        except UnicodeDecodeError:  # half of a character: it is heard with the rest
            continue
        if found := [text.index(s) for s in stop if s in text]:
            expected, stopped = text[: min(found)], True
            break
    shown, speech = said(pieces, stop)
    assert (speech.text, speech.stopped) == (expected, stopped)
    assert all(later.startswith(earlier) for earlier, later in pairwise(shown))


def test_what_may_become_a_stop_waits_until_it_does_not() -> None:
    shown, _ = said([b"one<", b"/", b"s>", b"two</s", b">three"], ("</s>",))
    assert shown == ["", "one", "one", "one", "one"]
    shown, _ = said([b"one<", b"/", b"t>", b"two<"], ("</s>",))
    assert shown == ["", "one", "one", "one</t>", "one</t>two", "one</t>two<"]


def test_special_tokens_and_spaces_are_as_the_tokenizer_writes_them() -> None:
    class Words:
        """Spaces stand between tokens, as with SentencePiece; token 0 is special."""

        def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
            return " ".join(f"w{i}" for i in ids if i)

    tokenizer: Any = Words()
    speech = Speech(tokenizer)
    for token in (1, 0, 2, 3, 0):
        speech.add(token)
    assert speech.text == "w1 w2 w3"
