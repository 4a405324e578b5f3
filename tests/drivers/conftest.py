import optuna
import pytest

from pareto.config import Recipe

NAMES = ("harmless", "honest", "helpful")


def _recipe(driver, **rest):
    return Recipe.model_validate(
        {
            "name": "test",
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "people"}]},
            "objectives": [{"name": name, "reward": name} for name in NAMES],
            "driver": {"trials": 12} | driver,
        }
        | rest
    )


@pytest.fixture(scope="session")
def recipe():
    """A driver's section → a recipe of three objectives with it; 12 trials unless it says so."""
    return _recipe


@pytest.fixture(scope="session")
def new_study():
    """A storage or None → a new study of three objectives in it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return lambda storage=None: optuna.create_study(study_name="s", storage=storage, directions=["maximize"] * 3)
