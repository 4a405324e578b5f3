"""Find the equations that a text asserts: ``12 apples + 7 apples = 19``, ``3 × 4 = 12``, ``20% of 50 is 10``.

What is not surely arithmetic (algebra, ratios, clock times, numbers of unclear form) becomes a side that nothing is
known of, so that a right step is not called wrong. Nothing is computed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

LONGEST = 40
"""Characters of the longest number that is read."""
_DECIMAL = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
_TOKEN = re.compile(
    rf"""
    (?P<fraction>\\[dt]?frac\s*\{{\s*(?:{_DECIMAL})\s*\}}\s*\{{\s*(?:{_DECIMAL})\s*\}})
  | (?P<mixed>(?<![\w.,])[0-9]+\s+[0-9]+/[0-9]+(?![\w/.]))
  | (?P<number>\.?[0-9]+(?:[.,:][0-9]+)*)
  | (?P<percent>\\?%|\bpercent\b)
  | (?P<gone><<|>>)
  | (?P<margin>(?m:^)[^\S\n]*(?:\|(?!\|)|\((?:[a-h]|[iv]{{1,4}})\)(?=\s+[^\s=+*/×÷−-]))|\|(?=\s*(?m:$)))
  | (?P<unclear>[!=<>≠≈≤≥~]=|=>|->|[<>≠≈≤≥~|√±→]|!(?=\s*[-=+*/^)0-9])|\\(?:approx|neq?|leq?|geq?|sqrt|pm|sim)\b)
  | (?P<equals>=|\b(?:equals|is\ equal\ to|is|are|makes|gives)\b)
  | (?P<power>\^|(?<=[0-9)])\*\*(?=[0-9(-])|(?<=[0-9)]\ )\*\*(?=\ [0-9(-]))
  | (?P<skip>\*\*|__|[$€£¥₹`]|\\[()\[\],;!:$ ]|\\(?:left|right|quad|boxed)\b)
  | (?P<times>[*×·⋅∗]|(?<=[0-9)])x(?=[0-9(])|\\(?:times|cdot|ast)\b|\b(?:times|multiplied\ by)\b)
  | (?P<over>[/÷]|\\div\b|\bdivided\ by\b)
  | (?P<plus>\+|\bplus\b)
  | (?P<minus>[-−–—]|\bminus\b)
  | (?P<square>[²³])
  | (?P<open>[(\[{{])
  | (?P<close>[)\]}}])
  | (?P<word>\\(?:text|mathrm|textbf)\s*\{{[^{{}}]*\}}|[^\W\d_][\w'’]*)
  | (?P<space>[^\S\n]+|\n(?=\s*=)|(?<=[=+/×÷])\n)
  | (?P<stop>.|\n)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SIGNS = {"times": " * ", "over": " / ", "plus": " + ", "minus": " - ", "power": " ** "}
_LETTERS = frozenset("mglhsaI")
"""Single letters that are units or words; any other is a variable."""
_NO_UNITS = re.compile(
    "a|all|altogether|and|as|at|because|but|by|each|far|for|from|i|in|left|more|now|of|on|or|per|remaining|since|so|"
    "that|the|then|therefore|to|total|which|with",
    re.IGNORECASE,
)
"""Words after a number that are not what it counts."""
_CHANGES = re.compile(r"half|twice|double|triple|thrice|quarter|third|root|negative", re.IGNORECASE)
"""Words that make another number of the one after them."""
_SCALES = re.compile(
    r"st|nd|rd|th|k|am|pm|cents?|dozens?|hundreds?|thousands?|millions?|billions?|e[0-9]+", re.IGNORECASE
)
"""What makes another number of the one before it."""
_REMAINDER = re.compile(r"r|rem|remainder|mod|modulo", re.IGNORECASE)


@dataclass
class Side:
    """One side of an equation."""

    start: int
    end: int
    expression: str = ""
    """Python's; numbers are names, ``n0``, ``n1``, …, and ``p`` is what a percentage is multiplied by."""
    numbers: list[Fraction] = field(default_factory=list)
    decimals: int = 0
    """Places after the point of the last number."""
    operations: int = 0
    units: set[str] = field(default_factory=set)
    """Words right after its numbers."""
    known: bool = True
    """Whether all of it was understood."""


def chains(text: str) -> list[list[Side]]:
    """Sides that are set equal, from left to right: two of an equation, more of ``2 + 3 = 5 + 1 = 6``."""
    return [chain for chain in _Reader(text).chains() if len(chain) > 1]


class _Reader:
    """Goes through a text once; what it keeps is the side that it stands in."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._start_chain()

    def _start_chain(self, before: str = "") -> None:
        self._chain: list[Side] = []
        self._start_side(before)

    def _start_side(self, before: str = "") -> None:
        self._side = Side(0, 0)
        self._last = ""
        """What the side ends in so far: "value", "open", "sign", "unclear", or "" while it is empty."""
        self._gap: list[str] = []
        """Words after that."""
        self._before = before
        """The word before the side."""

    def chains(self) -> Iterator[list[Side]]:
        end = 0
        for match in _TOKEN.finditer(self._text):
            kind = str(match.lastgroup)
            if kind in ("space", "skip", "margin"):
                continue
            yield from self._take(kind, match, adjacent=end == match.start())
            end = match.end()
        yield self._chain_so_far()

    def _take(self, kind: str, match: re.Match[str], adjacent: bool) -> Iterator[list[Side]]:
        ends = self._ends_chain(kind, match, adjacent)
        if ends:
            before = self._gap[-1] if self._gap else ""
            yield self._chain_so_far()
            self._start_chain(before)
        if kind in ("number", "fraction", "mixed"):
            self._number(kind, match)
        elif kind == "word":
            self._word(match)
        elif kind == "equals":
            self._equals(match)
        elif kind == "unclear":
            self._add("unclear", "", match)
        elif kind == "percent":
            self._percent(match)
        elif kind == "square":
            self._add("value", f" ** {2 + '²³'.index(match[0])}", match)
        elif kind == "open":
            self._open(match, adjacent)
        elif kind == "close":
            self._add("value", ")", match)
        elif kind in _SIGNS:
            self._sign(kind, match)

    def _ends_chain(self, kind: str, match: re.Match[str], adjacent: bool) -> bool:
        if kind in ("stop", "gone"):
            return True
        value = self._last == "value"
        if kind in ("number", "fraction", "mixed"):
            if value and self._gap and not self._of():
                self._side.known &= not any(_REMAINDER.fullmatch(word) for word in self._gap)
                return True
        elif kind == "open":  # "12 + 7 = 19 (so far)"; but "3 (4 + 5)" is unclear
            return value and not adjacent and bool(self._gap or not self._digit_follows(match))
        elif kind == "word" and self._last == "dash" and len(match[0]) > 1:
            # "12 + 7 = 19 - so we have 19"
            self._side.expression = self._side.expression.removesuffix(_SIGNS["minus"])
            self._side.operations -= 1
            return True
        # "Week 2 is 5 + 3 = 8": a word sets equal only what is computed.
        return kind == "equals" and match[0] != "=" and not (value and self._side.operations)

    def _chain_so_far(self) -> list[Side]:
        return [*self._chain, self._side] if self._last else self._chain

    def _add(self, last: str, code: str, match: re.Match[str]) -> None:
        if not self._last:
            self._side.start = match.start()
        if last == "unclear":
            self._side.known = False
        self._side.end, self._side.expression = match.end(), self._side.expression + code
        self._last, self._gap = last, []

    def _equals(self, match: re.Match[str]) -> None:
        if match[0] != "=" and not self._last:
            return  # it ended a chain: "there are 5 + 3 = 8"
        # "Week 2 = 5 + 3": a number after a word may be its name.
        if not self._last or (self._before and not self._chain and not self._side.operations):
            self._side.known = False
        self._chain.append(self._side)
        self._start_side()

    def _word(self, match: re.Match[str]) -> None:
        word = match[0]
        symbol = len(word) == 1 and word not in _LETTERS
        if word in "xX" and self._last == "value" and self._digit_follows(match):
            self._sign("times", match)
        elif self._last == "value":
            if symbol or (not self._gap and _SCALES.fullmatch(word)):
                self._side.known &= bool(_REMAINDER.fullmatch(word))
            if not self._gap and not _NO_UNITS.fullmatch(word):
                self._side.units.add(word.casefold().removesuffix("s"))
            self._gap.append(word)
        elif self._last or self._chain:
            self._add("unclear", "", match)
        else:
            self._before = word

    def _of(self) -> bool:
        """Whether "of" multiplies, as in "20% of 50" and "1/2 of 10"; it is taken in then."""
        side = self._side
        if self._gap != ["of"] or not ("/" in side.expression or "p" in side.expression):
            return False
        side.expression, side.operations = f"({side.expression}) * ", side.operations + 1
        self._last, self._gap = "sign", []
        return True

    def _number(self, kind: str, match: re.Match[str]) -> None:
        side = self._side
        value, side.decimals = _value(kind, match[0])
        if value is None or self._last == "value" or (not self._last and _CHANGES.fullmatch(self._before)):
            side.known = False
        self._add("value", f"n{len(side.numbers)}", match)
        side.numbers.append(value or Fraction(0))

    def _percent(self, match: re.Match[str]) -> None:
        name = f"n{len(self._side.numbers) - 1}"
        if self._last != "value" or self._gap or not self._side.expression.endswith(name):
            self._add("unclear", "", match)
            return
        self._side.expression = self._side.expression.removesuffix(name)
        self._add("value", f"({name} * p)", match)

    def _open(self, match: re.Match[str], adjacent: bool) -> None:
        side, code = self._side, "("
        if self._last == "value" and adjacent and not self._gap:  # 2(3 + 4)
            code, side.operations = " * (", side.operations + 1
        elif self._last == "value" or (not self._last and adjacent and self._before):  # sqrt(16), f(2)
            side.known = False
        self._add("open", code, match)

    def _sign(self, kind: str, match: re.Match[str]) -> None:
        side = self._side
        if self._last not in ("", "open"):
            side.operations += 1
            side.known &= not (kind == "power" and self._gap)  # 20 m^2
        elif kind in ("minus", "plus") and self._digit_follows(match, close=not (self._last or self._chain)):
            if len(self._before) == 1 and self._before not in _LETTERS:  # x -3
                side.known = False
        elif self._last or self._chain or self._before:  # apples + 3
            side.known = False
        else:
            return  # a bullet
        self._add("dash" if kind == "minus" else "sign", _SIGNS[kind], match)

    def _digit_follows(self, match: re.Match[str], close: bool = False) -> bool:
        space = "" if close else r"\s*"
        return re.compile(rf"{space}\\?[$€£¥₹]?{space}\(?{space}[.]?[0-9]").match(self._text, match.end()) is not None


def _value(kind: str, text: str) -> tuple[Fraction | None, int]:
    """What a number is worth, or ``None`` where its form is unclear; and its places after the point."""
    if len(text) > LONGEST:
        return None, 0
    parts = re.findall(_DECIMAL, text)
    if kind == "fraction":
        top, bottom = map(_plain, parts)
        return top / bottom if bottom else None, 0
    if kind == "mixed":
        whole, top, bottom = map(_plain, parts)
        return whole + top / bottom if 0 < top < bottom else None, 0
    if not re.fullmatch(_DECIMAL, text):
        return None, 0
    return _plain(text), len(text.partition(".")[2])


def _plain(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))
