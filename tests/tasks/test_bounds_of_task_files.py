"""Task files that ask for too much are refused: aliases without end, deep nesting, templates that never end."""

import threading
import time

import pytest

from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.yaml_tasks import limits
from lm_eval.tasks.yaml_tasks.parser import parse, read_task_file
from lm_eval.tasks.yaml_tasks.templates import Value

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "aliases that make a billion of nine": (LAUGHS, "more than 200,000 values once its aliases are followed"),
    "an alias of what it is in": ("a: &a [*a]", r"\*a stands for something that isn't whole before it"),
    "brackets": ("a: " + "[" * 100_000, "nested more than 60 deep"),
    "indented keys": ("\n".join(" " * level + "a:" for level in range(3000)), "nested more than 60 deep"),
    "dashes": ("a:\n  " + "- " * 50_000 + "x", "nested more than 60 deep"),
    "a large file": ("a: '" + "x" * 9_000_000 + "'", "9,000,005 bytes, and a task file may have 8,388,608"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_is_too_much_is_refused_at_once(tmp_path, what):
    text, message = HOSTILE[what]
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match=rf"t\.yaml: not valid YAML \(.*{message}"):
        parse(text.encode(), tmp_path / "t.yaml")
    assert time.monotonic() - began < 5


def test_aliases_and_brackets_in_reason_are_read(tmp_path):
    text = b"a: &a [1, {b: 2}]\nc: *a\nd:\n  <<: {e: 3}\n" + b"f: [" + b"[1], " * 300 + b"]"
    content = parse(text, tmp_path / "t.yaml")
    assert (content["c"], content["d"], len(content["f"])) == ([1, {"b": 2}], {"e": 3}, 300)


def test_files_that_include_each_other_without_end_are_refused(tmp_path):
    for number in range(30):
        names = f"{number + 1}.yaml"
        (tmp_path / f"{number}.yaml").write_text(f"include: [{names}, {names}]")
    (tmp_path / "30.yaml").write_text("a: 1")
    with pytest.raises(ConfigurationError, match=r"0\.yaml: include: more than 100 files; include fewer"):
        read_task_file(tmp_path / "0.yaml")


ENDLESS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a regular expression": "{{ ('a' * 40)|regex_replace('(a+)+b', '') }}",
}
LARGE = {
    "a product": "{{ 'a' * 10**10 }}",
    "a power": "{{ 9**(9**9) }}",
    "doubling": "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "adding": "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "its text": "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "a width": "{{ 'a'.ljust(10**10) }}",
    "a filter's width": "{{ 'a'|center(10**10) }}",
    "a format": "{{ '%10000000000d' % 1 }}",
    "a format's method": "{{ '{:10000000000}'.format(1) }}",
    "a width by a value": "{{ '{:{w}}'.format(1, w=10**10) }}",
    "replacing": "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
}
DEEP = ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{% if 1 %}" * 300 + "{% endif %}" * 300]


def render(tmp_path, template: str) -> object:
    return Value.of("doc_to_text", tmp_path / "t.yaml", template)({"x": "q"}, "row 1")


@pytest.mark.parametrize("what", ENDLESS)
def test_a_template_that_never_ends_is_ended(tmp_path, monkeypatch, what):
    monkeypatch.setattr(limits, "SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"row 1: doc_to_text of .*: it takes more than 0 s for one row"):
        render(tmp_path, ENDLESS[what])
    assert time.monotonic() - began < 5


def test_it_is_ended_in_another_thread_too(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.3)
    failures = []

    def work() -> None:
        try:
            render(tmp_path, ENDLESS["loops"])
        except DataError as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert "it takes more than" in failures[0]


@pytest.mark.parametrize("what", LARGE)
def test_a_template_that_makes_too_much_is_refused(tmp_path, what):
    with pytest.raises(DataError, match="it makes more than 10,000,000 characters"):
        render(tmp_path, LARGE[what])


@pytest.mark.parametrize("template", DEEP)
def test_a_template_that_is_nested_too_deeply_is_refused(tmp_path, template):
    with pytest.raises(ConfigurationError, match="doc_to_text: nested too deeply; make it simpler"):
        render(tmp_path, template)


def test_what_templates_do_in_reason_is_as_before(tmp_path):
    template = "{{ 'a' ~ 1 ~ x }} {{ 3 * 2 }} {{ 'ab'|replace('a', 'c') }} {{ '{:.1f} {}'.format(1.5, 123456789) }}"
    assert render(tmp_path, template) == "a1q 6 cb 1.5 123456789"
    assert (
        render(tmp_path, "{{ '%05d %s' % (3, x) }} {{ 'x'.join(['a', 'b']) }} {{ [1, 2]|join(',') }}")
        == "00003 q axb 1,2"
    )
