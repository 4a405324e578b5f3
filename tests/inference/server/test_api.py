"""The server as the official client of OpenAI sees it, over the finished smoke sweep."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from forge import until
from live_server import Live, live
from openai import OpenAI

from pareto.inference.policy import asked_point, open_policy
from pareto.store.run import Run

HELLO: list[Any] = [{"role": "user", "content": "What is 12 plus 5?"}]


@pytest.fixture(scope="module")
def served(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("served")
    run = Run(shutil.copytree(finished / "smoke", root / "smoke"))
    with live(run, max_tokens=200, max_best_of=4, score_share=1.0, store_prompts=True) as server:
        yield server


@pytest.fixture(scope="module")
def client(served: Live) -> Iterator[OpenAI]:
    with served.client() as client:
        yield client


def ask(client: OpenAI, pareto: dict[str, Any] | None = None, **fields: Any) -> Any:
    extra = {} if pareto is None else {"extra_body": {"pareto": pareto}}
    return client.chat.completions.create(**{"model": "smoke", "messages": HELLO, "seed": 3} | fields | extra)


def test_an_answer_is_that_of_the_policy_at_the_place_asked_for(client: OpenAI, served: Live) -> None:
    weights = {"vowels": 0.25, "digits": 0.75}
    run = Run(served.parts.log.path.parent)
    point = asked_point(run, ",".join(f"{name}={w}" for name, w in weights.items()), None)
    policy = open_policy(run, point)
    for seed in (3, 4):
        said = ask(client, {"weights": weights}, seed=seed)
        # Half of a character may stand at its end.
        drawn = "".join(policy.answer(HELLO[0]["content"], seed=seed))
        assert said.choices[0].message.content.rstrip("\ufffd") == drawn.rstrip("\ufffd")
        assert said.pareto["coefficients"] == pytest.approx(point.coefficients)
        assert said.pareto["weights"] == weights
        assert set(said.pareto["predicted"]) <= {"vowels", "digits"}
        assert said.usage.prompt_tokens == len(policy.base.prompt_ids(HELLO[0]["content"]))
        assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
        assert said.usage.completion_tokens <= 24
        assert said.choices[0].finish_reason in {"stop", "length"}


def test_a_stream_says_the_same_piece_by_piece(client: OpenAI) -> None:
    whole = ask(client, n=2)
    chunks = list(ask(client, n=2, stream=True, stream_options={"include_usage": True}))
    for k, choice in enumerate(whole.choices):
        pieces = [c for chunk in chunks for c in chunk.choices if c.index == k]
        assert "".join(piece.delta.content or "" for piece in pieces) == choice.message.content
        assert pieces[0].delta.role == "assistant"
        assert [p.finish_reason for p in pieces if p.finish_reason] == [choice.finish_reason]
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage == whole.usage
    assert chunks[-1].choices == []
    assert chunks[0].pareto["coefficients"] == chunks[-1].pareto["coefficients"] == whole.pareto["coefficients"]


def test_a_stream_without_usage_ends_with_the_place(client: OpenAI) -> None:
    chunks = list(ask(client, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason
    assert chunks[-1].pareto["model"] == "smoke"


def test_a_stop_ends_the_answer_before_it(client: OpenAI) -> None:
    text = ask(client).choices[0].message.content
    stop = text[5:7]
    said = ask(client, stop=stop)
    assert said.choices[0].message.content == text[: text.index(stop)]
    assert said.choices[0].finish_reason == "stop"
    streamed = ask(client, stop=["never said", stop], stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == text[: text.index(stop)]


def test_the_best_of_several_is_given_with_what_was_thought_of_all(client: OpenAI) -> None:
    plain = ask(client, {"rewards": True})
    said = ask(client, {"best_of": 4, "rewards": True, "weights": {"digits": 1.0}})
    best = said.pareto["best_of"]
    assert best["n"] == len(best["answers"]) == 4
    assert said.usage.completion_tokens > plain.usage.completion_tokens
    assert set(said.pareto["rewards"][0]) == {"vowels", "digits"}
    digits = [answer["scores"]["digits"] for answer in best["answers"]]
    assert said.pareto["rewards"][0]["digits"]["value"] == pytest.approx(max(digits))
    streamed = list(ask(client, {"best_of": 4, "weights": {"digits": 1.0}}, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == said.choices[0].message.content
    assert streamed[-1].pareto["best_of"]["chosen"] == best["chosen"]


def test_a_conversation_goes_on_and_a_system_prompt_counts(client: OpenAI) -> None:
    turns = [
        *HELLO,
        {"role": "assistant", "content": "17"},
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
    ]
    short, long = ask(client), ask(client, messages=turns)
    assert long.usage.prompt_tokens > short.usage.prompt_tokens
    told = ask(client, messages=[{"role": "developer", "content": "Say no."}, *HELLO])
    assert told.usage.prompt_tokens == short.usage.prompt_tokens + len("Say no.")  # its tokens are bytes


def test_models_are_listed_and_each_can_be_asked(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert ids[0] == "smoke"
    assert {"smoke@balanced", "smoke@vowels", "smoke@digits"} <= set(ids)
    assert client.models.retrieve("smoke@vowels").id == "smoke@vowels"
    assert ask(client, model="smoke@vowels", max_tokens=3).model == "smoke@vowels"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("smoke@nothing")


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}


@pytest.mark.parametrize(
    ("kind", "fields", "says", "param"),
    [
        (openai.NotFoundError, {"model": "gpt-4"}, "gpt-4", "model"),
        (openai.BadRequestError, {"logprobs": True}, "log-probabilities", "logprobs"),
        (openai.BadRequestError, {"tools": [{"type": "function"}]}, "tools are not called", "tools"),
        (openai.BadRequestError, {"temperature": 3}, "less than or equal to 2", "temperature"),
        (openai.BadRequestError, {"max_tokens": 201}, "200", "max_tokens"),
        (openai.BadRequestError, {"n": 5}, "4", "n"),
        (openai.BadRequestError, {"stop": ["a", "b", "c", "d", "e"]}, "at most 4", "stop"),
        (openai.BadRequestError, {"messages": []}, "at least 1", "messages"),
        (openai.BadRequestError, {"messages": [{"role": "assistant", "content": "x"}]}, "the user's", "messages"),
        (openai.BadRequestError, {"messages": [{"role": "user"}]}, "is missing", "messages.0.content"),
        (openai.BadRequestError, {"messages": [{"role": "user", "content": "a" * 5000}]}, "tokens", "messages"),
        (openai.BadRequestError, {"extra_body": {"temprature": 1}}, "did you mean 'temperature'", "temprature"),
        (openai.BadRequestError, {"pareto": {"wieghts": {}}}, "did you mean 'weights'", "pareto.wieghts"),
        (openai.BadRequestError, {"pareto": {"weights": {"vowel": 1}}}, "did you mean 'vowels'", "pareto"),
        (openai.BadRequestError, {"pareto": {"weights": {"vowels": 0.5}}}, "sums to 0.5", "pareto"),
        (openai.BadRequestError, {"pareto": {"weights": {"vowels": "1"}}}, "number", "pareto.weights.vowels"),
        (openai.BadRequestError, {"pareto": {"coefficients": {"nobody": 1}}}, "nobody", "pareto"),
        (openai.BadRequestError, {"pareto": {"best_of": 2}, "n": 2}, "only one", "n"),
        (openai.BadRequestError, {"pareto": {"best_of": 5}}, "4", "pareto.best_of"),
        (openai.BadRequestError, {"pareto": {"best_of": "auto"}}, "whole number.*`pareto chat`", "pareto.best_of"),
        (
            openai.BadRequestError,
            {"pareto": {"priorities": ["a"]}},
            "such as 'harmless>=0.9; concise~0.1'",
            "pareto.priorities",
        ),
        (openai.BadRequestError, {"extra_body": {"top_k": 5}}, "top_k: not supported here", "top_k"),
        (
            openai.BadRequestError,
            {"extra_body": {"repetition_penalty": 1}},
            "penalties are not applied; leave it out",
            "repetition_penalty",
        ),
        (
            openai.BadRequestError,
            {"messages": [{"role": "user", "content": [IMAGE]}]},
            "images are not read",
            "messages.0.content.0.type",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    client: OpenAI, kind: type[openai.APIStatusError], fields: dict[str, Any], says: str, param: str
) -> None:
    with pytest.raises(kind, match=says) as refused:
        ask(client, **fields)
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_what_asks_for_nothing_is_taken(client: OpenAI) -> None:
    nothing = {
        "presence_penalty": 0,
        "prompt_cache_key": "k",
        "logprobs": False,
        "response_format": {"type": "text"},
        "tools": [],
    }
    assert ask(client, max_tokens=2, extra_body=nothing).choices[0].finish_reason


def test_html_and_control_characters_are_text_like_any_other(client: OpenAI) -> None:
    odd = "<script>alert(1)</script>\x00\x1b[31m\u202e🙂"
    assert ask(client, messages=[{"role": "user", "content": odd}]).usage.completion_tokens > 0


def test_an_opinion_is_kept_and_one_of_nothing_refused(client: OpenAI, served: Live) -> None:
    first, second = ask(client, user="ann"), ask(client, user="ann", seed=9)
    for opinion in ({"id": first.id, "thumb": 1, "user": "ann"}, {"id": first.id, "better_than": second.id}):
        kept = client.post("/feedback", body=opinion, cast_to=dict[str, Any])
        assert kept["object"] == "feedback"
    found = [(f.kind, f.value, f.other) for f in served.parts.log.feedback() if f.served == first.id]
    assert found == [("thumb", 1.0, ""), ("pair", 1.0, second.id)]
    with pytest.raises(openai.BadRequestError, match="did you mean 'comment'"):
        client.post("/feedback", body={"id": first.id, "thumb": 1, "coment": "x"}, cast_to=dict[str, Any])
    for wrong in ({"id": "chatcmpl-0", "thumb": 1}, {"id": first.id}, {"id": first.id, "thumb": 1, "objective": "x"}):
        with pytest.raises(openai.BadRequestError):
            client.post("/feedback", body=wrong, cast_to=dict[str, Any])


def test_what_was_served_is_logged_without_the_user_s_name(client: OpenAI, served: Live) -> None:
    said = ask(client, {"weights": {"vowels": 1.0}}, user="bob@example.org")
    (logged,) = [s for s in served.parts.log.served() if s.id == said.id]
    assert logged.answer == said.choices[0].message.content
    assert logged.tokens == said.usage.completion_tokens
    assert logged.weights == {"vowels": 1.0, "digits": 0.0} or logged.weights == {"vowels": 1.0}
    assert logged.user == served.parts.log.user_key("bob@example.org") != "bob@example.org"
    assert 0 <= logged.queued <= logged.first_token <= logged.seconds
    until(lambda: any(s.id == said.id for s in served.parts.log.scores()))


def metrics(served: Live) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics") as page:
        return str(page.read().decode())


def test_the_metrics_tell_of_it(client: OpenAI, served: Live) -> None:
    ask(client, {"weights": {"vowels": 1.0}})
    told = metrics(served)
    names = """num_requests_waiting generation_tokens_total e2e_request_latency_seconds_bucket weight_bucket
        iteration_tokens_total_bucket coefficient_bucket request_success_total reward_sum"""
    for name in names.split():
        assert f"pareto:{name}" in told, name
    assert 'path="/v1/chat/completions",status="200"' in told


def test_the_metrics_tell_what_was_remembered(client: OpenAI, served: Live) -> None:
    def told() -> dict[str, float]:
        lines = (line.rpartition(" ") for line in metrics(served).splitlines() if line.startswith("pareto:cache_"))
        return {name: float(value) for name, _, value in lines}

    names = [
        f'pareto:cache_{what}_total{{cache="{of}"}}' for of in ("place", "priorities") for what in ("queries", "hits")
    ]
    before = told()
    for priorities in ("digits>=-77@mean", "digits>=-77.0@mean", "digits>=-77@mean"):
        ask(client, {"weights": {"vowels": 0.71, "digits": 0.29}, "priorities": priorities})
    # The second is written otherwise and says the same.
    assert [told()[name] - before[name] for name in names] == [3, 1, 2, 1]
