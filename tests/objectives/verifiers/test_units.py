import pytest

from pareto.objectives.verifiers.units import units

TESTS = '''"""About f."""
import math
xs = [1, 2]

def check(g):
    assert g(1)

@str
def decorated(): ...

def test_one():
    assert xs
assert math.pi > 3; assert xs
for x in xs:
    assert x
check(len)
'''


def test_statements_that_prepare_are_no_tests():
    found = [(u.source.decode().splitlines()[0], u.counts) for u in units(TESTS)]
    assert found == [
        ('"""About f."""', False),
        ("import math", False),
        ("xs = [1, 2]", False),
        ("def check(g):", False),
        ("@str", False),
        ("def test_one():", False),
        ("assert math.pi > 3", True),
        ("assert xs", True),
        ("for x in xs:", True),
        ("check(len)", True),
        ("test_one()", True),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_unit_is_a_piece_of_the_text_and_knows_its_line(end):
    text = "# ünïcödé\nname = 'ä'; assert name == 'ä'\n" + TESTS
    *pieces, call = units(text.replace("\n", end))
    assert all(p.source.decode() in text for p in pieces)
    assert all(p.source.decode().splitlines()[0] in text.splitlines()[p.line - 1] for p in pieces)
    assert (call.source, text.splitlines()[call.line - 1]) == (b"test_one()", "def test_one():")


def test_what_is_no_python_is_refused():
    with pytest.raises(SyntaxError):
        units("assert f(1 ==")
    with pytest.raises(SyntaxError):
        units("a\0b")
    assert units("") == []
