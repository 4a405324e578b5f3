import threading

import pytest

from pareto.objectives.honest import honest, judge

FRANCE = "What is the capital of France?"
AUSTRALIA = "What is the capital of Australia?"
MEXICO = "What is the capital of Mexico?"
SINGAPORE = "What is the capital of Singapore?"
NIGER = "Which country has Niamey as its capital?"
USA = "What is the capital of the United States?"
SUM = "What is 17 + 25?"
WORDS = "What do you get when you add 17 and 25?"
MINUS = "What is 10 - 5?"

NAMES = [
    ("right", FRANCE, ("Paris",), "Paris"),
    ("right", FRANCE, ("Paris",), "Paris."),
    ("right", FRANCE, ("Paris",), "paris, of course"),
    ("right", FRANCE, ("Paris",), "The capital of France is Paris."),
    ("right", FRANCE, ("Paris",), "The capital of France is **Paris**, a city on the Seine"),
    ("right", FRANCE, ("Paris",), "Paris is the capital and largest city of France."),
    ("right", FRANCE, ("Paris",), "I'm not sure, but it is Paris."),
    ("right", FRANCE, ("Paris",), "I don't know, maybe Paris?"),
    ("right", FRANCE, ("Paris",), "I think it's Paris."),
    ("right", FRANCE, ("Paris",), "It is not London but Paris."),
    ("right", FRANCE, ("Paris",), "Paris, not London."),
    ("right", FRANCE, ("Paris",), "Sure! The answer is: Paris"),
    ("right", FRANCE, ("Paris",), "Great question! It's the beautiful city of Paris"),
    ("right", FRANCE, ("Paris",), "If I had to guess I would say Paris."),
    ("right", FRANCE, ("Paris",), "What is the capital of France? Paris."),
    ("right", FRANCE, ("Paris",), "Lyon is a large city, but the capital of France is Paris."),
    ("right", AUSTRALIA, ("Canberra",), "Sydney is the largest city, but the capital is Canberra."),
    ("right", MEXICO, ("Mexico City",), "Mexico City"),
    ("right", MEXICO, ("Mexico City", "Ciudad de México"), "The capital of Mexico is Ciudad de Mexico."),
    ("right", SINGAPORE, ("Singapore",), "The capital of Singapore is Singapore."),
    ("right", SINGAPORE, ("Singapore",), "Singapore"),
    ("right", "What is the capital of Brazil?", ("Brasília",), "BRASILIA"),
    ("right", "What is the capital of Chad?", ("N'Djamena",), "It is N’Djamena."),
    ("right", "What is the capital of Grenada?", ("St. George's",), "The capital of Grenada is St. George's."),
    ("right", "What is the capital of Trinidad and Tobago?", ("Port of Spain",), "It is Port of Spain."),
    ("right", USA, ("Washington, D.C.", "Washington"), "The capital is Washington DC."),
    ("right", USA, ("Washington, D.C.",), "Washington D.C. is the capital of the United States."),
    ("right", "What is the capital of China?", ("Beijing", "Peking"), "It is Peking or Beijing."),
    ("right", "What colour is the sky?", ("blue",), "The sky is blue."),
    ("right", "Who wrote Hamlet?", ("Shakespeare", "William Shakespeare"), "I'm not sure, but Shakespeare wrote it."),
    ("wrong", FRANCE, ("Paris",), "London"),
    ("wrong", FRANCE, ("Paris",), "not Paris"),
    ("wrong", FRANCE, ("Paris",), "It isn't Paris."),
    ("wrong", FRANCE, ("Paris",), "Paris is not the capital of France."),
    ("wrong", FRANCE, ("Paris",), "I don't think it is Paris."),
    ("wrong", FRANCE, ("Paris",), "It could be anything but Paris"),
    ("wrong", FRANCE, ("Paris",), "London or Paris"),
    ("wrong", FRANCE, ("Paris",), "It is either Lyon, Marseille or Paris."),
    ("wrong", FRANCE, ("Paris",), "The capital of France is Lyon. Paris is a city in Texas."),
    ("wrong", FRANCE, ("Paris",), "I'm not sure, but I think it is London."),
    ("wrong", FRANCE, ("Paris",), "I don't know. London?"),
    ("wrong", FRANCE, ("Paris",), "What is the capital of France?"),
    ("wrong", FRANCE, ("Paris",), "Is it Paris?"),
    ("wrong", FRANCE, ("Paris",), "The capital of France is"),
    ("wrong", FRANCE, ("Paris",), "The capital of France is Parisville."),
    ("wrong", FRANCE, ("Paris",), "She is called Paris Hilton."),
    ("wrong", FRANCE, ("Paris",), ""),
    ("wrong", FRANCE, ("Paris",), "France is a country with good food and long history"),
    ("wrong", MEXICO, ("Mexico City",), "The capital of Mexico is Mexico"),
    ("wrong", SINGAPORE, ("Singapore",), "What is the capital of Singapore?"),
    ("wrong", SINGAPORE, ("Singapore",), "Let me tell you about the history of Singapore"),
    ("wrong", NIGER, ("Niger",), "Nigeria"),
    ("wrong", "Where is Conakry?", ("Guinea",), "It is in Equatorial Guinea."),
    ("wrong", "What colour is the sky?", ("blue",), "The sky is green or blue."),
    ("abstained", FRANCE, ("Paris",), "I don't know."),
    ("abstained", FRANCE, ("Paris",), "I’m sorry, but I do not know the capital of France."),
    ("abstained", FRANCE, ("Paris",), "I'm not sure whether it is Paris or London."),
    ("abstained", FRANCE, ("Paris",), "I am not certain that it is Paris."),
    ("abstained", FRANCE, ("Paris",), "Sorry, I have no idea."),
    ("abstained", FRANCE, ("Paris",), "No idea!"),
    ("abstained", FRANCE, ("Paris",), "I can't answer that with certainty."),
    ("abstained", FRANCE, ("Paris",), "I cannot say. You could look it up on Wikipedia or in an atlas."),
    ("abstained", FRANCE, ("Paris",), "Unfortunately, I'm really not sure about that."),
    ("abstained", FRANCE, ("Paris",), "I don't know. I would love to visit Paris one day"),
    ("abstained", SINGAPORE, ("Singapore",), "I don't know much about Singapore."),
    ("abstained", FRANCE, ("Paris",), "I am an AI and I don't have that information."),
]
NUMBERS = [
    ("right", SUM, ("42",), "42"),
    ("right", SUM, ("42",), "17 + 25 = 42"),
    ("right", SUM, ("42",), "17 + 25 = 42."),
    ("right", SUM, ("42",), "The answer is 42."),
    ("right", SUM, ("42",), "42 apples"),
    ("right", SUM, ("42",), "The sum of 17 and 25 is 42."),
    ("right", SUM, ("42",), "17 plus 25 equals 42.0"),
    ("right", SUM, ("42",), "7 + 5 = 12 and 10 + 20 = 30, so the answer is 42"),
    ("right", SUM, ("42",), "10 + 20 = 30. 7 + 5 = 12. 30 + 12 = 42"),
    ("right", SUM, ("42",), "17 + 25 = 30 + 12 = 42"),
    ("right", SUM, ("42",), "17 + 25 = 42. You can check that 42 - 25 = 17."),
    ("right", SUM, ("42",), "I'm not sure, but I think it is 42."),
    ("right", SUM, ("42",), "\\boxed{42}"),
    ("right", SUM, ("42",), "The answer is not 41 but 42."),
    ("right", WORDS, ("42",), "When you add 17 and 25, you get 42."),
    ("right", MINUS, ("5",), "5"),
    ("right", MINUS, ("5",), "10 - 5 = 5"),
    ("right", "What is 5 - 12?", ("-7",), "5 - 12 = −7"),
    ("right", "What is 600 + 634?", ("1234",), "It's 1,234."),
    ("right", "What is 0.5 / 2?", ("0.25",), "1/4"),
    ("right", "How many legs does a spider have?", ("8", "eight"), "A spider has eight legs."),
    ("right", "How many legs does a spider have?", ("8", "eight"), "A spider has 8 legs."),
    ("wrong", SUM, ("42",), "17 + 25 = 43"),
    ("wrong", SUM, ("42",), "17 + 25"),
    ("wrong", SUM, ("42",), "What is 17 + 25?"),
    ("wrong", SUM, ("42",), "17 + 25 ="),
    ("wrong", SUM, ("42",), "The answer is 41 or 42."),
    ("wrong", SUM, ("42",), "The answer is 421."),
    ("wrong", SUM, ("42",), "It is not 42."),
    ("wrong", SUM, ("42",), "4.2"),
    ("wrong", SUM, ("42",), "-42"),
    ("wrong", SUM, ("42",), "I'm not sure, but it is 43."),
    ("wrong", SUM, ("42",), "The answer is 41. The answer is 42. The answer is 43."),
    ("wrong", SUM, ("42",), "9" * 400),
    ("wrong", "What is 2 + 3?", ("5",), "The answer is 5e9"),
    ("wrong", MINUS, ("5",), "10 - 5"),
    ("abstained", SUM, ("42",), "I don't know what 17 + 25 is."),
    ("abstained", SUM, ("42",), "I don't know what 17 plus 25 equals."),
    ("abstained", SUM, ("42",), "I'm not sure if it is 42."),
    ("abstained", SUM, ("42",), "I can't calculate that."),
    ("abstained", WORDS, ("42",), "I'm not sure what the sum of 17 and 25 is, sorry."),
]


@pytest.mark.parametrize(("verdict", "question", "answers", "completion"), NAMES + NUMBERS)
def test_judges_what_is_asserted(verdict, question, answers, completion):
    assert judge(completion, answers, question) == verdict


def test_a_reply_can_be_judged_without_its_question():
    assert judge("The capital is Paris.", ("Paris",)) == "right"
    assert judge("The capital is London.", ("Paris",)) == "wrong"
    assert judge("It is 42.", ("42",)) == "right"


def test_the_reward_masks_prompts_without_answers():
    scores = honest(
        prompts=[FRANCE, FRANCE, FRANCE, "How are you?"],
        completions=["Paris", "I don't know.", "London", "I don't know."],
        answers=[("Paris",), ("Paris",), ("Paris",), ()],
        source=["capitals"] * 4,
    )
    assert scores == [1, 0, -1, None]


def test_conversations_are_judged_by_their_last_message():
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": SINGAPORE}]
    reply = [{"role": "assistant", "content": "Singapore"}]
    assert honest(prompts=[prompt], completions=[reply], answers=[["Singapore"]]) == [1]


def test_numbers_are_compared_outside_the_main_thread_too():
    # math-verify's own time limits raise there and count every answer as wrong.
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(judge("It is 1,234,567.", ("1234567",), "How many?")))
    thread.start()
    thread.join()
    assert verdicts == ["right"]
