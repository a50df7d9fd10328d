"""What a batch will cost: known for its size, guessed for others, and not spoilt by one slow run."""

import math

from modelroll_server.batching.cost import Cost


def test_before_anything_is_known_everything_is_dear() -> None:
    assert Cost().predict(1) == math.inf


def test_each_size_has_its_own_cost() -> None:
    cost = Cost()
    cost.learn(1, 0.001, 0.001)
    cost.learn(32, 0.0012, 0.0012)
    assert (cost.predict(1), cost.predict(32), cost.predict(40)) == (0.001, 0.0012, 0.0012)


def test_an_unknown_size_is_guessed_from_the_next_smaller_row_by_row() -> None:
    cost = Cost()
    cost.learn(8, 0.001, 0.001)
    assert (cost.predict(4), cost.predict(16)) == (0.001, 0.002)


def test_one_slow_run_does_not_make_a_cheap_model_dear_and_many_do() -> None:
    cost = Cost()
    for _ in range(10):
        cost.learn(1, 0.0001, 0.0001)
    cost.learn(1, 0.01, 0.01)
    assert cost.predict(1) < 0.001
    for _ in range(100):
        cost.learn(1, 0.01, 0.01)
    assert cost.predict(1) > 0.009
    for _ in range(10):
        cost.learn(1, 0.0001, 0.0001)
    assert cost.predict(1) < 0.001


def test_waiting_a_little_is_no_cost_and_sleeping_is() -> None:
    cost = Cost()
    cost.learn(1, 0.01, 0.0001)
    assert cost.predict(1) == 0.0001
    slept = Cost()
    slept.learn(1, 1.0, 0.0001)
    assert slept.predict(1) == 1.0
