"""What a client is told: completions, chunks and models as OpenAI's clients read them, and what ``pareto`` adds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Finish = Literal["stop", "length"]


class Interval(BaseModel):
    """Of an objective, in its own units."""

    mean: float | None
    low: float | None = None
    high: float | None = None


class Reward(BaseModel):
    """What an objective says of an answer, in its own units."""

    value: float | None = Field(description="null: it does not apply.")
    spread: float | None = Field(None, description="Standard deviation among an ensemble's members.")
    flagged: bool = Field(False, description="The spread is above the ensemble's threshold for review.")


class BestOf(BaseModel):
    """How the answer was chosen."""

    n: int = Field(description="Answers that were drawn.")
    chosen: int = Field(description="Index of the one that is given.")
    answers: list[dict[str, object]] = Field(description="What the objectives say of each.")


class Told(BaseModel):
    """The place on the frontier that answered."""

    model: str
    arm: str = Field(description="main or candidate.")
    weights: dict[str, float] | None
    coefficients: dict[str, float] = Field(description="Adapter → λ; empty: the base model.")
    point: str | None = Field(description="Id of the measured policy, where it is one.")
    predicted: dict[str, Interval]
    source: str = Field(description="Where the prediction is from.")
    moved: str = Field("", description="Why it is another place than was asked for.")
    reason: str = Field("", description="Of automatic weights.")
    note: str = Field("", description="What else is to be known.")
    best_of: BestOf | None = None
    rewards: list[dict[str, Reward]] | None = Field(None, description="Of each choice, where asked for.")


class Usage(BaseModel):
    """Tokens; all answers that were drawn count."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Message(BaseModel):
    """An answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    """One of the answers."""

    index: int
    message: Message
    finish_reason: Finish
    logprobs: None = None


class Completion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Usage
    pareto: Told


class Delta(BaseModel):
    """The next piece of an answer."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class Piece(BaseModel):
    """Of one of the answers."""

    index: int
    delta: Delta
    finish_reason: Finish | None = None
    logprobs: None = None


class Chunk(BaseModel):
    """An event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Piece]
    usage: Usage | None = None
    pareto: Told | None = None


class Card(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "pareto"
    title: str
    kept: bool = Field(description="It keeps the run's priorities.")


class Cards(BaseModel):
    """All of them, the default first."""

    object: Literal["list"] = "list"
    data: list[Card]


class Heard(BaseModel):
    """An opinion that is kept."""

    id: str
    object: Literal["feedback"] = "feedback"


class Health(BaseModel):
    """Whether the server serves."""

    status: Literal["ok"] = "ok"
    model: str
    running: int = Field(description="Answers that are drawn now.")
    waiting: int = Field(description="Requests that wait for a place in the batch.")
    log: str = Field(description="ok, or why what is served is not logged.")
