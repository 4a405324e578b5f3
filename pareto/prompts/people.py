"""Questions that people asked each other, from the package ``chitchat-dataset`` (MIT): 138,737 messages.

Only questions that stand alone are taken: those that need what was said before, speak of the chat itself or of the
writers' campus, or may touch on sensitive matters are left out by the word lists in ``data/people.json``.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

from pareto.errors import ParetoError
from pareto.prompts.split import digest, group_near_duplicates, normalise

OPENING = re.compile(
    r"""(?: (?:what\ is|what\ are|what's|whats)\ (?:
            your\ (?:favorite|favourite|dream|ideal|opinion|definition)
          | (?:a|an|the)\ (?:best|worst|most|biggest|difference|meaning|point|purpose|good|great|fun|craziest|funniest
              |coolest|weirdest|easiest|hardest|fastest) )
        | if\ (?:you|i|people|computers)\ (?:could|were|had|would)
        | what\ if
        | what\ (?:would|should|could|makes|does|do)\ (?:happen|you|i|people|someone|a|an|the)
        | do\ you\ (?:think|believe|like|enjoy|prefer|have\ (?:a\ favorite|any\ (?:advice|tips|suggestions)))
        | have\ you\ ever
        | how\ (?:do|does|can|could|would|should)\ (?:you|i|people|someone|a|an|computers)
        | why\ (?:do|does|is|are|would|can|can't|should|don't)\ (?!you)
        | who\ (?:is|was|would|do)
        | where\ (?:would|should|can|could)
        | (?:is|are|can|could|should|does)\ (?!the|my|any|you|your|i|we|u\b|anyone|everyone)
        | would\ you\ (?:rather|ever)
        | can\ you\ (?:explain|recommend|suggest|teach|name|describe|sing)
        )\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""How a question that can open a conversation begins."""

MIN_WORDS, MAX_WORDS = 4, 25
MIN_MESSAGES = 20
"""Every word must stand in at least this many messages: no names of users, few slips of the keyboard."""
NEAR = 0.75
"""Of questions whose word sets overlap at least this much (Jaccard), one is kept."""


def dataset_file() -> Path:
    """Where the package keeps its data; the package itself is not imported.

    Raises:
        ParetoError: when the package is not installed.
    """
    spec = importlib.util.find_spec("chitchat_dataset")
    if spec is None or spec.origin is None:
        raise ParetoError(
            "the prompts 'people' need the package chitchat-dataset: pip install --no-deps chitchat-dataset==0.9.0"
        )
    return Path(spec.origin).with_name("dataset.json")


def questions() -> list[str]:
    """About 600 distinct questions of 4 to 25 words as people typed them, in the order of their hashes."""
    conversations = json.loads(dataset_file().read_text(encoding="utf-8")).values()
    messages = [bubble["text"] for talk in conversations for turn in talk["messages"] for bubble in turn]
    messages += sorted({talk["prompt"] for talk in conversations if "prompt" in talk})
    lists = {name: frozenset(listed.split()) for name, listed in _word_lists().items()}
    subjectless = lists.pop("without_subject")
    unwanted = frozenset[str]().union(*lists.values())
    spread = Counter(word for message in messages for word in set(_words(message)))
    common = {word for word, count in spread.items() if count >= MIN_MESSAGES} - unwanted
    alone = {" ".join(message.split()) for message in messages if _stands_alone(message, common, subjectless)}
    distinct = {normalise(text): text for text in sorted(alone, key=digest, reverse=True)}
    return _one_of_each(sorted(distinct.values(), key=digest))


def _words(message: str) -> list[str]:
    return re.findall(r"[a-z']+", message.lower())


def _word_lists() -> dict[str, str]:
    """Words that a question must not have, by reason, and those that do not yet say what it is about."""
    text = files("pareto.prompts").joinpath("data", "people.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def _stands_alone(message: str, allowed: set[str], subjectless: frozenset[str]) -> bool:
    """Whether the message is one plain question that a stranger could answer."""
    text = message.strip()
    if not (MIN_WORDS <= len(text.split()) <= MAX_WORDS and OPENING.match(text)):
        return False
    # One sentence in plain ASCII: no digits, brackets, dashes or further sentences.
    if not re.fullmatch(r"[A-Za-z ',]+\?", text):
        return False
    found = set(_words(text))
    return found <= allowed and not found <= subjectless


def _one_of_each(texts: list[str]) -> list[str]:
    """The first of every group of near-duplicates."""
    firsts: dict[int, str] = {}
    spelt_out = [re.sub("what'?s", "what is", text.lower()) for text in texts]
    for text, group in zip(texts, group_near_duplicates(spelt_out, NEAR), strict=True):
        firsts.setdefault(group, text)
    return list(firsts.values())
