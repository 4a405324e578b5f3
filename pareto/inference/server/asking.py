"""From a request to a ticket of the engine: who answers, from where on the frontier, and how much."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.inference.best_of.engine import row_seeds
from pareto.inference.server.docket import Docket
from pareto.inference.server.engine import Ask, Busy, Engine, Ticket
from pareto.inference.server.metrics import Metrics
from pareto.inference.server.places import OutOfReach, Place, Unjudged, UnknownModel, Wish
from pareto.inference.server.refusals import Refusal
from pareto.inference.server.routing import Arms
from pareto.inference.server.scoring import Scorer
from pareto.inference.server.settings import Settings
from pareto.inference.server.wire import Chat, Preference
from pareto.traffic.log import TrafficLog

if TYPE_CHECKING:
    from pareto.models import Base

LEAST = 1e-4
"""Of temperature and top_p; the likeliest token is drawn below, as it would be if float32 had room for less."""
STOPS = 4
"""Texts that may end an answer, at most."""
STOP_LENGTH = 200
"""Characters of one."""


@dataclass(frozen=True)
class Parts:
    """What a server is made of."""

    settings: Settings
    base: Base
    recipe: Recipe
    """The run's; its sampling is taken where a request leaves it open."""
    engine: Engine
    arms: Arms
    scorer: Scorer
    log: TrafficLog
    metrics: Metrics
    tokenizing: threading.Lock = field(default_factory=threading.Lock)
    """The tokenizer serves one thread at a time."""
    encoding: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "encoding"))
    """For what needs the sentence encoder, which serves one thread at a time: nobody else waits there."""
    docket: Docket = field(default_factory=Docket)
    """For priorities that nobody asked for before."""


@dataclass
class Job:
    """A request that was accepted."""

    id: str
    chat: Chat
    came: float
    """When, in seconds since 1970."""
    at: float
    """The same by ``time.monotonic``."""
    arm: str
    place: Place
    best_of: int
    """Answers of which one is given; 1: those that are drawn are given."""
    ticket: Ticket
    changed: asyncio.Event
    """Set whenever the ticket has more to say."""
    open: bool = True
    """It is not in the log yet."""

    @property
    def prompt(self) -> str:
        """What the user said last."""
        return self.chat.messages[-1].text

    @property
    def preference(self) -> Preference:
        """What was asked of the frontier."""
        return self.chat.pareto or Preference()

    async def ended(self) -> None:
        """Wait until all is said."""
        while not self.ticket.done:
            self.changed.clear()
            if not self.ticket.done:
                await self.changed.wait()


async def accept(parts: Parts, chat: Chat, id: str) -> Job:
    """Give a request to the engine.

    Raises:
        Refusal: it asks for what there is not, or for too much, or too many ask.
    """
    came, at = time.time(), time.monotonic()
    preference = chat.pareto or Preference()
    n, best_of = _answers(chat, preference, parts.settings)
    stop = _stops(chat)
    if chat.messages[-1].role != "user":
        raise Refusal(400, "messages: the last one must be the user's", param="messages")
    loop = asyncio.get_running_loop()
    encodes = parts.encoding if preference.weights == "auto" else None
    place_it = partial(_placed, parts.arms, chat, preference, id)
    try:
        arm, place = await loop.run_in_executor(encodes, partial(place_it, judge=False))
    except Unjudged:
        arm, place = await parts.docket.judged(partial(place_it, judge=True))
    ids = await loop.run_in_executor(None, _tokens, parts, chat)
    sampling = parts.recipe.sampling
    ask = Ask(
        ids=ids,
        coefficients=parts.arms.bank_coefficients(arm, place),
        seeds=row_seeds(secrets.randbits(63) if chat.seed is None else chat.seed % (1 << 64), n * best_of),
        max_tokens=_longest(parts, chat, len(ids)),
        temperature=_at_least(sampling.temperature if chat.temperature is None else chat.temperature, 0.0),
        top_p=_at_least(sampling.top_p if chat.top_p is None else chat.top_p, LEAST),
        top_k=sampling.top_k,
        stop=stop,
        deadline=at + parts.settings.timeout,
    )
    changed = asyncio.Event()
    try:
        ticket = parts.engine.submit(ask, lambda _: _wake(loop, changed))
    except Busy as e:
        raise Refusal(429, str(e), code="busy", retry_after=e.retry_after) from None
    parts.metrics.begun(arm, place.weights, place.coefficients, moved=bool(place.moved))
    return Job(id, chat, came, at, arm, place, best_of, ticket, changed)


def _wake(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
    """From the engine's thread; there may be nobody left to hear it."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(changed.set)


def _answers(chat: Chat, preference: Preference, settings: Settings) -> tuple[int, int]:
    """How many are given, and of how many drawn each is the best."""
    n, best_of = chat.n or 1, preference.best_of or 1
    if n > 1 and best_of > 1:
        raise Refusal(400, "n and pareto.best_of: only one of them can be above 1", param="n")
    for name, value in (("n", n), ("pareto.best_of", best_of)):
        if value > settings.max_best_of:
            raise Refusal(400, f"{name}: {value} is more than this server's {settings.max_best_of}", param=name)
    return n, best_of


def _at_least(value: float, below: float) -> float:
    """The value, or what stands for those below the least."""
    return value if value >= LEAST else below


def _stops(chat: Chat) -> tuple[str, ...]:
    stop = [chat.stop] if isinstance(chat.stop, str) else chat.stop or []
    if len(stop) > STOPS or not all(0 < len(text) <= STOP_LENGTH for text in stop):
        raise Refusal(400, f"stop: wanted at most {STOPS} texts of 1 to {STOP_LENGTH} characters", param="stop")
    return tuple(stop)


def _placed(arms: Arms, chat: Chat, preference: Preference, id: str, *, judge: bool) -> tuple[str, Place]:
    """Which arm answers, and from where. Raises Refusal, and ``Unjudged`` as ``Places.at``."""
    wish = Wish(chat.model, preference.weights, preference.coefficients, preference.priorities)
    prompt = chat.messages[-1].text
    arm = arms.arm(chat.safety_identifier or chat.user or id)
    try:
        if arm == "candidate":
            try:
                return arm, arms.places[arm].at(wish, prompt, judge=judge)
            except OutOfReach:
                raise
            except ParetoError:  # as a point or an adapter of the run that the candidate does not have
                pass
        return "main", arms.places["main"].at(wish, prompt, judge=judge)
    except UnknownModel as e:
        raise Refusal(404, str(e), param="model", code="model_not_found") from None
    except OutOfReach as e:
        raise Refusal(400, str(e), param="pareto", code="out_of_reach") from None
    except ParetoError as e:
        raise Refusal(400, str(e), param="pareto") from None


def _tokens(parts: Parts, chat: Chat) -> tuple[int, ...]:
    turns = [
        {"role": "system" if turn.role == "developer" else turn.role, "content": turn.text} for turn in chat.messages
    ]
    try:
        with parts.tokenizing:
            return tuple(parts.base.conversation_ids(turns))
    except ParetoError as e:
        raise Refusal(400, f"messages: {e}", param="messages") from None


def _longest(parts: Parts, chat: Chat, prompt: int) -> int:
    """Tokens that the answer may have."""
    most, room = parts.settings.max_tokens, parts.base.context - prompt
    too_long = partial(Refusal, 400, code="context_length_exceeded")
    if prompt > parts.settings.max_prompt_tokens or room < 1:
        fit = min(parts.settings.max_prompt_tokens, parts.base.context - 1)
        raise too_long(f"messages: {prompt} tokens are more than the {fit} that fit", param="messages")
    name = "max_tokens" if chat.max_completion_tokens is None else "max_completion_tokens"
    asked = getattr(chat, name)
    if chat.max_tokens not in (None, asked):
        raise Refusal(400, "max_tokens and max_completion_tokens differ; give one of them", param="max_tokens")
    if asked is None:
        return min(parts.recipe.sampling.max_new_tokens, most, room)
    if asked > most:
        raise Refusal(400, f"{name}: {asked} is more than this server's {most}", param=name)
    if asked > room:
        raise too_long(
            f"{name}: {asked} and the prompt's {prompt} are more than the model's context of {parts.base.context} "
            "tokens",
            param=name,
        )
    return int(asked)
