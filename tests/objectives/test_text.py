import pytest

from pareto.objectives.text import concise, distinct_2, length, reading_ease, sentiment


def test_length_counts_no_end_token():
    # Shorter than the cap: the last token ended the completion. At the cap it was cut off.
    ids = [[1, 2, 3, 0], [1] * 10, []]
    assert length(prompts=[""] * 3, completions=["a"] * 3, completion_ids=ids, max_new_tokens=10) == [3, 10, 0]


def test_concise_is_the_share_of_the_cap_left_and_silence_is_not_the_optimum():
    ids = [[1, 0], [1, 2, 3, 4, 5, 0], [1] * 10, [1] * 30, [0], [7, 0]]
    texts = ["Yes", "five words", "cut", "a long demonstration", "", " \n"]
    scores = concise(prompts=[""] * 6, completions=texts, completion_ids=ids, max_new_tokens=10)
    assert scores == pytest.approx([0.9, 0.5, 0, 0, 0, 0])


def test_the_cap_may_come_as_a_column_of_a_dataset():
    ids = [[1, 0], [1, 0]]
    assert concise(prompts=["", ""], completions=["a", "b"], completion_ids=ids, max_new_tokens=[10, 4]) == [0.9, 0.75]


def test_sentiment_orders_hate_plain_and_love():
    hate, plain, love = sentiment(prompts=[""] * 3, completions=["I hate this.", "This is a table.", "I love this!"])
    assert hate < plain == 0 < love


def test_reading_ease_is_flesch_by_hand():
    # "The cat sat on the mat. It was happy." has 9 words, 2 sentences and 10 syllables.
    by_hand = 206.835 - 1.015 * 9 / 2 - 84.6 * 10 / 9
    easy, hard, short, blank = reading_ease(
        prompts=[""] * 4,
        completions=[
            "The cat sat on the mat. It was happy.",
            "Institutional internationalization necessitates extraordinary interdisciplinary characterizations.",
            "Two words",
            "",
        ],
    )
    assert easy == pytest.approx(by_hand)
    assert hard == -100
    assert short is None
    assert blank is None


def test_distinct_2_is_the_share_of_new_pairs():
    scores = distinct_2(prompts=[""] * 3, completions=["go go go go", "One two, three!", "word"])
    assert scores == [pytest.approx(1 / 3), 1, None]
