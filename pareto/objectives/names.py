"""Which name does a reply assert, and is it an accepted one?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pareto.objectives.abstention import abstains, open_question

_PLAIN_WORDS = """
a about absolutely according actually ai also am an and answer are as at be been believe but by can certainly
could definitely did do does for from good great guess had has have he hello her here hi his hmm honestly how
however i if in indeed into is it its just know let like may maybe me might my name no not now of oh ok okay on
or our perhaps please possibly probably question really she sir so sorry still sure than thank thanks that the
their then there these they think this those though to um unfortunately us very was we well were what when where
which while who whose why will with would yes yet you your
"""
_PLAIN = frozenset(_PLAIN_WORDS.split())
"""Words that are no answer, however they are written."""
_TAIL = frozenset({"city", "dc"})
"""What may follow a name without making another of it: "Panama City", "Washington DC"."""
_FILLER = (
    r"(?:(?:the|a|an|of|city|town|capital|called|named|known|as|probably|likely|perhaps|maybe|actually|simply|also|"
    r"indeed|definitely|either|beautiful|great|famous|to|be)\s+)*"
)
_COPULA = r"(?:is|was|are|were|be|been|remains|became|becomes|called|named)"
_FRAMED = re.compile(rf"\b(?P<copula>{_COPULA})\s*:?\s+{_FILLER}$", re.IGNORECASE)
_OFFERED = re.compile(
    rf"(?:\b(?:think|believe|guess|say|answer|maybe|perhaps|probably|possibly)|:)\s+{_FILLER}$", re.IGNORECASE
)
_OPENS = re.compile(r"(?:^|[,;:]|\b(?:but|that|think|believe|and|so|guess|sure|because|yes|say))\s*$", re.IGNORECASE)
_DENIED_BEFORE = re.compile(
    r"\b(?:not|never|nor|neither|unlike|except|(?<!none other )than|instead of|anything but|far from)\s+(?:be\s+)?"
    rf"{_FILLER}$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(r"\W*(?:is|was|are)\s+(?:not|never|no longer|hardly|wrong|incorrect)\b", re.IGNORECASE)
_ALTERNATIVE = re.compile(rf"(\w+),?\s+or\s+{_FILLER}$", re.IGNORECASE)
_TURN = re.compile(r"\b(?:but|while|whereas)\b|;", re.IGNORECASE)
_POINTS = frozenset({"it", "that", "this", "answer", "they", "he", "she", "which", "capital", "name", "one"})


@dataclass(frozen=True)
class _Name:
    start: int
    end: int
    words: tuple[str, ...]
    right: bool


def name_verdict(said: Sequence[str], answers: Sequence[str], question: Sequence[str]) -> bool | None:
    """Whether the name that a reply asserts is accepted; ``None`` where it asserts none.

    Names are accepted answers (in any case) and other runs of capitalised words that are not the question's. The
    first one that is stated ("the capital is X", "X is the capital", "maybe X", X alone) decides, else, unless the
    reply abstains, the first that is mentioned. Taking the first keeps a list of guesses from paying more than its
    first guess. What is denied, doubted, asked or copied from the question is not asserted.

    Args:
        said: the reply's sentences (from ``abstention.sentences``).
        answers: accepted names, as such sentences.
        question: the question's sentences.
    """
    accepted = sorted({w for a in answers if (w := tuple(_words(a)))}, key=len, reverse=True)
    asked = _words(" ".join(question))
    mentioned: list[bool] = []
    for sentence in said:
        names = _names(sentence, accepted, asked)
        for name in names:
            if _denied(sentence, name, accepted) or open_question(sentence, name.start):
                continue
            if _stated(sentence, name, names, asked):
                return name.right
            # An answer made of the question's own words must be stated: mentioning them again says nothing.
            if not set(name.words) <= set(asked):
                mentioned.append(name.right)
    return mentioned[0] if mentioned and not any(abstains(s) for s in said) else None


def _words(text: str) -> list[str]:
    return [w.casefold() for w in re.findall(r"[^\W_]+", text)]


def _names(sentence: str, accepted: Sequence[tuple[str, ...]], asked: Sequence[str]) -> list[_Name]:
    """Accepted answers and other capitalised names, from left to right."""
    tokens = list(re.finditer(r"[^\W_]+", sentence))
    words = [t.group().casefold() for t in tokens]
    copies = set(pairwise(asked))

    def adjoins(i: int) -> bool:
        """Whether token i goes on the name of token i − 1."""
        return re.fullmatch(r"\s+|[-'.]\s?", sentence[tokens[i - 1].end() : tokens[i].start()]) is not None

    def foreign(i: int) -> bool:
        """Whether token i is part of a name that the question does not give."""
        return tokens[i].group()[0].isupper() and words[i] not in _PLAIN and words[i] not in asked

    names, i = [], 0
    while i < len(tokens):
        answer = next((a for a in accepted if tuple(words[i : i + len(a)]) == a), None)
        if answer is not None:
            j = i + len(answer)
            copied = set(answer) <= set(asked) and i > 0 and (words[i - 1], words[i]) in copies
            # "Guinea" is not asserted by "Equatorial Guinea", nor "Paris" by "Paris Hilton".
            part = (i > 0 and adjoins(i) and foreign(i - 1)) or (
                j < len(tokens) and adjoins(j) and foreign(j) and words[j] not in _TAIL
            )
            if not copied:
                names.append(_Name(tokens[i].start(), tokens[j - 1].end(), answer, not part))
            i = j
        elif foreign(i):
            j = i + 1
            while j < len(tokens) and adjoins(j) and foreign(j) and not _starts(words, j, accepted):
                j += 1
            # The first word of a sentence is capitalised anyway: it must look like a name by what follows.
            after = sentence[tokens[j - 1].end() :]
            if i > 0 or j - i > 1 or re.match(rf"\s*(?:\W|$|(?:{_COPULA}|or|and)\b)", after.lstrip(" "), re.I):
                names.append(_Name(tokens[i].start(), tokens[j - 1].end(), tuple(words[i:j]), False))
            i = j
        else:
            i += 1
    return names


def _starts(words: Sequence[str], i: int, accepted: Sequence[tuple[str, ...]]) -> bool:
    return any(tuple(words[i : i + len(a)]) == a for a in accepted)


def _denied(sentence: str, name: _Name, accepted: Sequence[tuple[str, ...]]) -> bool:
    before = sentence[: name.start]
    if _DENIED_BEFORE.search(before) or _DENIED_AFTER.match(sentence, name.end):
        return True
    # "green or blue": whatever came first, and is no accepted answer, was the guess.
    alternative = _ALTERNATIVE.search(before)
    return alternative is not None and alternative[1].casefold() not in {a[-1] for a in accepted}


def _stated(sentence: str, name: _Name, names: Sequence[_Name], asked: Sequence[str]) -> bool:
    """Whether the sentence gives the name as the answer, and does not only mention it."""
    before, after = sentence[: name.start], sentence[name.end :]
    topic = set(asked) - _PLAIN
    framed = _FRAMED.search(before)
    if framed:
        subject = set(_words(_TURN.split(before[: framed.start()])[-1]))
        if not topic or not subject or subject & (topic | _POINTS):
            return True
    if _OFFERED.search(before):
        return True
    predicate = re.match(r"\s*([^\W_]+)", after)
    if predicate and _OPENS.search(before):
        verb = predicate[1].casefold()
        described = set(_words(_TURN.split(after)[0]))
        if (re.fullmatch(_COPULA, verb) and (not topic or topic & described)) or verb in topic:
            return True
    clause = re.split(r"[,;:]| - ", before)[-1] + sentence[name.start : name.end] + re.split(r"[,;:]| - ", after)[0]
    others = {w for n in names for w in n.words}
    return not abstains(clause) and set(_words(clause)) <= others | set(asked) | _PLAIN | _TAIL
