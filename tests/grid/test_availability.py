"""What is missing is told once, whatever the number of models and data that lack it."""

from functools import partial

from lm_eval.errors import ConfigurationError, MissingDataError, MissingModelError
from lm_eval.grid.availability import attempt


def fail(error: Exception) -> None:
    raise error


def test_models_that_the_hub_does_not_give_for_one_reason_are_one_message():
    errors = [MissingModelError(f"some/model-{number}", "no network", f"{number} is missing") for number in range(67)]
    (fault,) = attempt([partial(fail, error) for error in [*errors, *errors]])
    assert fault.startswith("67 models are neither folders nor in the hub's cache")
    assert fault.count("no network") == 1
    assert "some/model-3 and 63 more;" in fault
    assert "--models demo (embedded) and --models smollm2 (once `make real` has fetched it)" in fault


def test_one_missing_model_keeps_its_own_message_and_names_what_is_there():
    (fault,) = attempt([partial(fail, MissingModelError("some/model", "no network", "some/model is missing"))])
    assert fault.startswith("some/model is missing; without a hub there are --models demo")


def test_other_reasons_and_splits_have_messages_of_their_own():
    faults = attempt(
        [
            partial(fail, MissingModelError("a/b", "no network", "a/b is missing")),
            partial(fail, MissingModelError("c/d", "404", "c/d is missing")),
            *(partial(fail, MissingDataError(f"{name} test", "no network", name)) for name in "xy"),
            partial(fail, ConfigurationError("something else")),
            partial(fail, ConfigurationError("something else")),
        ]
    )
    assert [fault.partition(";")[0] for fault in faults] == [
        "a/b is missing",
        "c/d is missing",
        "2 splits cannot be loaded from the dataset hub or its cache (no network): x test, y test",
        "something else",
    ]
