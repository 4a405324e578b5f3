from pareto.objectives.messages import plain


def test_strings_and_conversations_give_their_text():
    assert plain("Hello") == "Hello"
    assert plain([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]) == "Hello"
