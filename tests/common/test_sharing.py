"""Objects that many files state alike are held once, and none stands for another."""

from lm_eval.common.sharing import shared_object


def test_equal_objects_are_one():
    first = shared_object({"test_sharing": 1, "b": "text"})
    assert shared_object({"test_sharing": 1, "b": "text"}) is first


def test_numbers_that_python_takes_for_equal_stay_apart():
    for value in (1, True, 1.0):
        assert type(shared_object({"of a type": value})["of a type"]) is type(value)


def test_what_is_made_of_an_object_is_shared_and_never_comes_back_as_the_object():
    made = shared_object({"a": 1}, dict.fromkeys)
    assert made == {"a": None}
    assert shared_object({"a": 1}, dict.fromkeys) is made
    assert shared_object({"a": 1}) == {"a": 1}


def test_an_object_that_holds_others_is_made_too():
    assert shared_object({"a": [1]}, dict.fromkeys) == {"a": None}
    assert shared_object({"a": [1]}) == {"a": [1]}
