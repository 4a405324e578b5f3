"""What goes over the wire: OpenAI's chat completions with one field more, ``pareto``.

A field that is not known, or that would be dropped in silence, is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pareto.config import suggest
from pareto.inference.server.unsupported import PARTS, UNSUPPORTED, WANTED

SEED = 1 << 63


def _utf8(text: str) -> str:
    """JSON's escapes can write halves of characters, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise ValueError(f"Character {e.start + 1} is half of one") from None
    return text


Text = Annotated[str, AfterValidator(_utf8)]


class Wire(BaseModel):
    """What both sides agree on."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Part(Wire):
    """A piece of a message."""

    type: Literal["text"]
    text: Text


class Turn(Wire):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[Part]
    name: Text | None = None

    @property
    def text(self) -> str:
        """Its pieces as one."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(Wire):
    """What a stream tells beside its text."""

    include_usage: bool = False


class Format(Wire):
    """Of the answer."""

    type: Literal["text"]


class Preference(Wire):
    """The place on the frontier that answers."""

    weights: dict[Text, float] | Literal["auto"] | None = Field(None, description="Objective → weight; they sum to 1.")
    coefficients: dict[Text, float] | None = Field(None, description="Adapter → λ, instead of weights.")
    priorities: Text = Field("default", description="Rules that come on top of the run's own.", max_length=2000)
    best_of: int | None = Field(None, ge=1, description="Answers that are drawn; the best is given.")
    rewards: bool = Field(False, description="Tell the rewards of the answer.")


Nothing = Annotated[float, Field(ge=0, le=0)]


class Chat(Wire):
    """A conversation to go on with."""

    model: Text
    messages: list[Turn] = Field(min_length=1)
    pareto: Preference | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=-SEED, lt=SEED)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stop: Text | list[Text] | None = None
    user: Text | None = Field(None, max_length=512)
    safety_identifier: Text | None = Field(None, max_length=512)
    # Taken where they ask for nothing, as some clients always send them.
    logprobs: Literal[False] | None = None
    top_logprobs: Nothing | None = None
    frequency_penalty: Nothing | None = None
    presence_penalty: Nothing | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    response_format: Format | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    store: Literal[False] | None = None
    modalities: list[Literal["text"]] | None = None
    service_tier: Literal["auto", "default"] | None = None
    prompt_cache_key: Text | None = None  # a hint, which changes no answer


class Opinion(Wire):
    """What a person says of an answer."""

    id: Text = Field(max_length=200, description="Of the answer.")
    thumb: Literal[-1, 1] | None = None
    better_than: Text | None = Field(None, max_length=200, description="Id of another answer to the same prompt.")
    objective: Text | None = Field(None, max_length=200, description="What it is about; without: the whole.")
    comment: Text | None = Field(None, max_length=2000)
    user: Text | None = Field(None, max_length=512)


class ErrorBody(BaseModel):
    """What was wrong, where, and what would be right."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """Why a request was not served."""

    error: ErrorBody


def param_of(error: Mapping[str, Any], body: Any) -> str | None:
    """The field that an error of pydantic is about, as a path with dots; ``None``: the whole body.

    Its own place names branches of unions too: what the body does not have is none of the body's.
    """
    path: list[str] = []
    for part in error["loc"][1:]:
        inside = (isinstance(body, Mapping) and part in body) or (
            isinstance(body, list) and isinstance(part, int) and part < len(body)
        )
        if inside:
            path.append(str(part))
            body = body[part]
    if error["type"] == "missing":
        path.append(str(error["loc"][-1]))
    return ".".join(path) or None


def said_of(error: Mapping[str, Any], param: str | None, asked: type[Wire]) -> str:
    """An error of pydantic in one line.

    Args:
        error: it.
        param: the field, see ``param_of``.
        asked: what the body should have been.
    """
    if param is None:
        return "the body must be a JSON object; see /openapi.json"
    section, _, name = param.rpartition(".")
    if asked is Chat and not section and name in UNSUPPORTED:
        return f"{param}: {UNSUPPORTED[name]}"
    if error["type"] == "literal_error" and section.startswith("messages.") and name == "type":
        return f"{param}: {PARTS.get(str(error['input']), 'no such kind')}; messages are text"
    if error["type"].endswith("_type") and param in WANTED:
        return f"{param}: {WANTED[param]}"
    if error["type"] == "missing":
        return f"{param}: is missing"
    if error["type"] == "extra_forbidden":
        sections: dict[str, type[Wire]] = {
            "": asked,
            "pareto": Preference,
            "stream_options": StreamOptions,
            "response_format": Format,
        }
        known = sections.get(section, Turn if section.count(".") == 1 else Part)
        return f"{param}: no such field; {suggest(name, list(known.model_fields))}"
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{param}: {what[0].lower()}{what[1:]}"
