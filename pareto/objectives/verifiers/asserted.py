"""Which answer does a worked solution end with?"""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST = 1000
"""Characters of the longest answer; what is longer is a ramble."""
_NAMED = re.compile(r"(?:\banswer\b[^\n.:=?]{0,60}?(?:\bis\b|[:=])|^\s*####)[*_:\s]*(?P<said>[^\n]+)", re.I | re.M)
_BOXED = re.compile(r"\\f?box(?:ed)?\s*\{")
_RESULT = re.compile(r"=(?P<said>[^=\n]+)$")
_REASON = re.compile(r"\.(?=\s|$)|;|,?\s(?:because|since|as|which|when|so)\s", re.I)
_WRAPPING = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ('"', '"'))
_AROUND = "*_` \t\r\n"
_NUMBER = re.compile(r"(?P<sign>[-+]?)\$?(?P<whole>\d{1,3}(?:,\d{3})+|\d*)(?P<part>\.\d+)?(?:/(?P<by>\d+))?")
_UNIT = re.compile(r"\s+(?P<first>[A-Za-z]{2,})(?:\s+[A-Za-z]+)?$")
_NO_UNIT = re.compile(
    r"or|and|to|not|pi|sqrt|sin|cos|tan|log|ln|exp|mod|over|plus|minus|times|divided|percent|squared|cubed|factorial|"
    r"dozen|hundred|thousand|million|billion|trillion",
    re.I,
)


def last_answer(text: str) -> str | None:
    r"""The last answer that a text asserts, without what wraps it; ``None`` where it asserts none.

    Of ``Answer: 19``, ``the answer is 19``, ``#### 19`` and ``\boxed{19}`` the last one. Without any, the result at the
    end of the last line (``12 + 7 = 19``), or the whole text where it is one line.
    """
    found = [(m.start("said"), _REASON.split(m["said"], maxsplit=1)[0]) for m in _NAMED.finditer(text)]
    found += [(m.start(), _braced(text, m.end())) for m in _BOXED.finditer(text)]
    if found:
        said = max(found)[1]
    else:
        lines = text.strip().splitlines()
        result = _RESULT.search(lines[-1].rstrip(" .$*")) if lines else None
        said = result["said"] if result else lines[0] if len(lines) == 1 else ""
    said = bare(said)
    return said if 0 < len(said) <= LONGEST else None


def bare(answer: str) -> str:
    r"""An answer without what does not change it: blanks, a full stop, ``$…$``, ``**…**``, ``\text{…}``.

    >>> bare(r"**$1{,}234$.**")
    '1,234'
    """
    answer = answer.replace("−", "-").replace("{,}", ",").replace(r"\,", "").replace(r"\!", "")
    answer = re.sub(r"\\(?:text|mathrm|textbf)\{([^{}]*)\}", r"\1", answer)
    before = ""
    while before != answer:
        before = answer
        answer = answer.strip(_AROUND).rstrip(".,;:!")
        for left, right in _WRAPPING:
            if answer.startswith(left) and answer.endswith(right) and len(answer) >= len(left) + len(right):
                answer = answer[len(left) : -len(right)]
                break
    return answer


def number(answer: str) -> Fraction | None:
    r"""The exact value of a bare answer that is one number, with a unit or not; ``None`` for anything else.

    >>> number("1,234.50"), number("-3/4"), number(r"\frac{1}{2}"), number("19 apples"), number("19 or 20")
    (Fraction(2469, 2), Fraction(-3, 4), Fraction(1, 2), Fraction(19, 1), None)
    """
    unit = _UNIT.search(answer)
    if unit and not _NO_UNIT.fullmatch(unit["first"]):
        answer = answer[: unit.start()]
    answer = re.sub(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}", r"\1/\2", answer)
    match = _NUMBER.fullmatch(answer)
    if match is None or len(answer) > LONGEST or not (match["whole"] or match["part"]):
        return None
    value = Fraction((match["whole"].replace(",", "") or "0") + (match["part"] or ""))
    if match["by"]:
        if not int(match["by"]):
            return None
        value /= int(match["by"])
    return -value if match["sign"] == "-" else value


def _braced(text: str, start: int) -> str:
    """From an opened brace to the one that closes it; nothing where none does."""
    depth = 1
    for match in re.compile(r"\\[{}]|[{}]").finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if not depth:
            return text[start : match.start()]
    return ""
