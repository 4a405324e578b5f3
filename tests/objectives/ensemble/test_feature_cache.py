import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.objectives.ensemble import feature_cache
from pareto.objectives.ensemble.feature_cache import FeatureCache

TEXTS = [f"answer {i} " * (1 + i % 7) for i in range(600)]
PROMPTS = [f"prompt {i % 50}" for i in range(600)]


class Counted:
    """Features by hand: lengths; remembers what it was asked."""

    width = 2

    def __init__(self, key="counted"):
        self.key = key
        self.asked = []

    def __call__(self, prompts, completions):
        self.asked += completions
        return np.array([[len(p), len(c)] for p, c in zip(prompts, completions, strict=True)], dtype=np.float32)


EXPECTED = np.array([[len(p), len(c)] for p, c in zip(PROMPTS, TEXTS, strict=True)])


@pytest.fixture(autouse=True)
def new_process():
    feature_cache._kept.cache_clear()


def test_each_text_is_computed_once(tmp_path):
    features = Counted()
    cache = FeatureCache(features, tmp_path)
    told = []
    found = cache([*PROMPTS, *PROMPTS], [*TEXTS, *TEXTS], lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(found, [*EXPECTED, *EXPECTED])
    assert sorted(features.asked) == sorted(TEXTS)
    assert told[-1] == (1200, 1200)
    np.testing.assert_array_equal(FeatureCache(features)(PROMPTS, TEXTS), EXPECTED)
    assert len(features.asked) == 600


def test_another_process_reads_them_from_disk(tmp_path):
    FeatureCache(Counted(), tmp_path)(PROMPTS, TEXTS)
    feature_cache._kept.cache_clear()
    features = Counted()
    np.testing.assert_array_equal(FeatureCache(features, tmp_path)(PROMPTS, TEXTS), EXPECTED)
    assert features.asked == []


def test_a_damaged_file_is_made_anew_and_the_others_are_kept(tmp_path):
    FeatureCache(Counted(), tmp_path)(PROMPTS, TEXTS)
    before = {p.name: p.read_bytes() for p in tmp_path.rglob("*.safetensors")}
    assert len(before) == 3
    hurt = sorted(tmp_path.rglob("*.safetensors"))[0]
    hurt.write_bytes(hurt.read_bytes()[:-3] + b"abc")
    feature_cache._kept.cache_clear()
    features = Counted()
    np.testing.assert_array_equal(FeatureCache(features, tmp_path)(PROMPTS, TEXTS), EXPECTED)
    assert 0 < len(features.asked) <= feature_cache.PER_FILE
    assert {p.name: p.read_bytes() for p in tmp_path.rglob("*.safetensors")} == before


def test_other_features_have_a_place_of_their_own(tmp_path):
    FeatureCache(Counted("one"), tmp_path)(PROMPTS, TEXTS)
    other = Counted("other")
    FeatureCache(other, tmp_path)(PROMPTS, TEXTS)
    assert len(other.asked) == 600


def test_a_file_where_the_folder_should_be_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ParetoError, match=r"file: no folder for features can be made there: Not a directory$"):
        FeatureCache(Counted(), tmp_path / "file")
