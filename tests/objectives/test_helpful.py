import pytest

from pareto.errors import ParetoError
from pareto.objectives import encoder
from pareto.objectives.helpful import helpful, uncopied

COFFEE = "How do I make a good cup of coffee at home?"
BOSS = "I had a terrible day at work and my boss yelled at me."


@pytest.mark.parametrize(
    ("prompt", "answer", "echoes"),
    [
        (
            COFFEE,
            "Grind fresh beans, use water just off the boil, and brew for four minutes.",
            [
                COFFEE,
                f"{COFFEE} {COFFEE}",
                COFFEE.upper(),
                "You ask: how do I make a good cup of coffee at home",
                "You make a good cup of coffee at home by how do I make",
            ],
        ),
        (
            BOSS,
            "I'm so sorry to hear that. Do you want to talk about what happened?",
            [BOSS, "You had a terrible day at work and your boss yelled at you."],
        ),
        (
            "What is the capital of France?",
            "Paris.",
            ["What is the capital of France?", "The capital of France is what"],
        ),
        ("Hi there", "Hello! How can I help you today?", ["Hi there", "hi there!"]),
    ],
)
def test_an_answer_scores_above_echoes_and_babble(prompt, answer, echoes):
    replies = [answer, *echoes, "Turtles bask on warm rocks near rivers."]
    scores = helpful(prompts=[prompt] * len(replies), completions=replies)
    assert all(-1 <= s <= 1 for s in scores)
    assert scores[0] > 0.25
    assert scores[0] > max(scores[1:]) + 0.1


def test_pure_echo_and_silence_score_zero():
    assert helpful(prompts=[COFFEE] * 3, completions=[COFFEE, "", " ... "]) == [0, 0, 0]


def test_a_score_does_not_depend_on_the_rest_of_the_batch():
    replies = ["Paris.", "Grind fresh beans and use hot water, then wait a few minutes before you pour it.", "Hm"]
    together = helpful(prompts=[COFFEE, BOSS, COFFEE], completions=replies)
    alone = [helpful(prompts=[p], completions=[c])[0] for p, c in zip([COFFEE, BOSS, COFFEE], replies, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)


def test_copied_runs_are_cut_and_counted():
    # Words: well the capital of france is paris; of the five 3-grams, the-capital-of and capital-of-france are copied.
    rest, overlap = uncopied("What is the capital of France?", "Well, the capital of France is Paris!")
    assert rest == "Well, is Paris!"
    assert overlap == pytest.approx(2 / 5)
    assert uncopied("What is the capital of France?", "It is in France.") == ("It is in France.", 0)
    assert uncopied("Hi there", "Hi there!") == ("", 1)


def test_a_missing_encoder_says_what_to_install(monkeypatch):
    monkeypatch.setattr(encoder, "PACKAGE", "no-such-package")
    encoder.load_encoder.cache_clear()
    with pytest.raises(ParetoError, match="pip install no-such-package"):
        helpful(prompts=[COFFEE], completions=["Grind beans."])


def test_another_encoder_that_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ParetoError, match=f"encoder '{tmp_path}' cannot be loaded"):
        helpful(prompts=[COFFEE], completions=["Grind beans."], encoder=str(tmp_path))
