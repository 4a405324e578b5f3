import numpy as np
import pytest

from pareto.drivers import make
from pareto.drivers.lattice import spread
from pareto.errors import ParetoError
from pareto.simplex import das_dennis


def test_the_first_points_of_a_lattice_are_corners_then_the_farthest_ones():
    order = spread(das_dennis(3, 6))
    assert order[:3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert order[3] == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    # Each next point keeps at least as far from those before as any later one does: the gaps only shrink.
    gaps = [np.linalg.norm(order[:k] - order[k], axis=1).min() for k in range(3, len(order))]
    assert np.all(np.diff(gaps) < 1e-9)


def test_spreading_keeps_every_point_once():
    points = das_dennis(4, 3)
    order = spread(points)
    assert {tuple(np.round(w, 9)) for w in order} == {tuple(np.round(w, 9)) for w in points}
    assert len(order) == len(points)


@pytest.mark.parametrize(
    ("driver", "points"),
    [({"trials": 3}, 3), ({"trials": 7}, 7), ({"trials": 12, "options": {"n_partitions": 3}}, 10)],
)
def test_a_lattice_ends_at_the_budget_or_where_it_has_no_more_points(recipe, new_study, driver, points):
    study = new_study()
    driver = make(recipe(driver), study)
    while driver.ask():
        pass
    assert driver.finished()
    assert len(study.trials) == points


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        ({"method": "das-denis"}, "lattice has no 'das-denis'; did you mean 'das-dennis'?"),
        ({"options": {"n_partition": 3}}, "das-dennis has no option 'n_partition'; did you mean 'n_partitions'?"),
        ({"options": {"n_partitions": 0}}, "driver.options.n_partitions: 0 is not a whole number of at least 1"),
        ({"options": {"n_partitions": 2.5}}, "2.5 is not a whole number"),
        ({"method": "energy", "options": {"n_points": 3}}, "3 is not a whole number of at least 4"),
        ({"trials": 2}, "driver.trials: 2 is too few; 3 objectives need at least 3"),
    ],
)
def test_a_wrong_lattice_is_refused_with_what_would_be_right(recipe, new_study, driver, message):
    with pytest.raises(ParetoError) as error:
        make(recipe(driver), new_study())
    assert message in str(error.value)
