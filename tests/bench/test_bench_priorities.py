from pareto.bench.priorities import run


def test_violating_policies_are_hardly_ever_returned_with_confidence_and_often_on_the_mean() -> None:
    result = run(60, (100,), seed=1)
    figures = result["figures"]
    assert figures["violation_100"] <= 0.05
    assert figures["violation_on_mean_100"] >= 0.2  # the control: the same scores without confidence
    assert figures["abstention_on_mean_100"] == 0
    assert 0 < figures["abstention_100"] < 1
    assert [(row["shape"], row["fronts"]) for row in result["rows"]] == [
        (shape, 15) for shape in ("binary", "piled up", "left tail", "gaussian")
    ]
