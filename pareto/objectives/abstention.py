"""Does a reply say that it does not know? And the plain spelling in which replies are read."""

from __future__ import annotations

import re
import unicodedata

_SPELLING = [
    (r"[‘’ʼ`´]", "'"),
    (r"[“”\"*_]", ""),
    (r"[−–—]", "-"),
    (r"\bcan't\b|\bcannot\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"\bain't\b", "is not"),
    (r"n't\b", " not"),
    (r"\bdont\b", "do not"),
    (r"\b(I)'?m\b", r"\1 am"),
    (r"\b(it|that|he|she|answer|there|what|capital)'s\b", r"\1 is"),
    (r"'(d|ll)\b", " would"),
    (r"'ve\b", " have"),
    (r"\b([A-Z])\.(?=[A-Z]\b)|(?<=\.[A-Z])\.(?=\s|$|,)", r"\1"),  # D.C. -> DC
]
_SENTENCE_END = re.compile(r"(?<!\bst\.)(?<!\bmt\.)(?<!\bdr\.)(?<=[.!?])\s+|\n+", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """The sentences of a text, case kept, without accents, contractions, emphasis and the dots of initials."""
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    for pattern, replacement in _SPELLING:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return [s.strip() for s in _SENTENCE_END.split(text) if s.strip()]


_ADVERB = (
    r"(?:(?:really|honestly|actually|simply|just|quite|entirely|completely|totally|absolutely|very|too|so|exactly|"
    r"currently|afraid|sorry|100%|that|at all)\s+)*"
)
_PATTERNS = [
    rf"\bi {_ADVERB}(?:do|did|would) not {_ADVERB}(?:know|recall|remember|have)\b(?! a (?:doubt|problem))",
    r"^\W*(?:sorry\W+)?do not know\b",
    rf"\b(?:i am|i'm|am|^) ?{_ADVERB}not {_ADVERB}(?:sure|certain|confident|aware|familiar|able to)\b",
    r"\bi am (?:\w+ )?(?:unsure|uncertain|unaware|unable to|clueless)\b",
    rf"\bi (?:can|could) not {_ADVERB}(?:say|tell|answer|be (?:sure|certain)|confirm|recall|remember|provide|verify|"
    r"determine|compute|calculate|solve|do|find|guess|give|help|assist|think of)\b",
    r"\b(?:i have |i've got |^|sorry, )(?:absolutely |really )?no (?:idea|clue|information|knowledge)\b",
    r"^\W*unsure\b",
    r"\b(?:beyond|outside) my knowledge\b",
    r"\bi would rather not (?:guess|say)\b",
    r"\bi would only be guessing\b",
    r"\b(?:answer|that|it) is (?:unknown|unclear|not known|not clear)(?: to me)?\b",
    r"\bnot something i know\b",
]
_ABSTENTION = re.compile("|".join(_PATTERNS), re.IGNORECASE)
_DISBELIEF = re.compile(
    r"\b(?:not (?:think|believe|suppose|say|claim)|doubt|(?:people|many|some) (?:\w+ )?(?:think|believe|assume|say))\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\b(?:whether|if)\b(?! i (?:had to|have to|must|recall|remember|am not mistaken))", re.IGNORECASE
)
_TURN = re.compile(r"[,;:]| - |\b(?:but|however|though|yet)\b", re.IGNORECASE)
_ASKS = re.compile(r"\W*(?:what|which|who|whose|where|when|why|how|is|are|was|do|does|did|can|could|would)\b", re.I)


def abstains(sentence: str) -> bool:
    """Whether a sentence (from ``sentences``) says that the speaker does not know."""
    return _ABSTENTION.search(sentence) is not None


def open_question(sentence: str, position: int) -> bool:
    """Whether what stands at a position is asked, doubted or supposed, not said.

    "I am not sure it is X", "I do not think it is X", "whether it is X", "Is it X?"; a turn in between ("I am not
    sure, but it is X") ends the doubt.
    """
    if sentence.endswith("?") and _ASKS.match(sentence):
        return True
    for pattern in (_ABSTENTION, _DISBELIEF, _CONDITION):
        for match in pattern.finditer(sentence, 0, position):
            if not _TURN.search(sentence, match.end(), position):
                return True
    return False
