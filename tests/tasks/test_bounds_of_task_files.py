"""Task files that ask for too much are refused: aliases without end, deep nesting, templates that never end."""

import signal
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
    "a width by a text": "{{ '{:{w}}'.format(1, w='10000000000') }}",
    "a width in a mapping": "{{ '{a:{w}}'.format_map({'a': 1, 'w': 10**10}) }}",
    "many widths": "{{ ('%9000000d' * 2) % (1, 2) }}",
    "a width behind zeros": "{{ '{:0>0000000000000000000000010000000000}'.format(1) }}",
    "a width behind a key": "{{ '%(a(b)%%)10000000000d' % {'a(b)%%': 1} }}",
    "a width behind a name": "{{ '{0[a:b]:10000000000}'.format({'a:b': 1}) }}",
    "a filter's replacing": "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
    "a filter's replacing by names": "{{ ('a' * 100000)|replace(new='b' * 100000, old='a') }}",
    "a filter's replacing of all": "{{ 'a'|replace('a', 'b' * 10000001) }}",
    "a filter's format": "{{ '%10000000000d'|format(1) }}",
    "replacing nothing": "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
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


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 20000000 * 0.5 }} {{ 0.5 * 20000000 }}", "10000000.0 10000000.0"),
        ("{{ '%d of 100000000 at 5%%' % 3 }}", "3 of 100000000 at 5%"),
        ("{{ '{:{w}}'.format(0.123456789123, w=16) }}", "  0.123456789123"),
        ("{{ '{} of 100000000'.format(3) }}", "3 of 100000000"),
        ("{{ '{0[100000000]}'.format({100000000: 3}) }}", "3"),
        ("{{ ('a' * 10000).replace('b', 'c' * 10000)|length }}", "10000"),
        ("{{ ('a' * 10000)|replace('a', 'c' * 10000, 2)|length }}", "29998"),
        ("{{ 12|replace('1', 'x') }} {{ 'a'|replace(old='a', new='b') }}", "x2 b"),
    ],
)
def test_large_numbers_that_make_nothing_large_are_taken(tmp_path, template, text):
    assert render(tmp_path, template) == text


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such timer")
def test_the_alarm_is_as_before_even_if_no_python_set_it(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda number, handler, real=signal.signal: (real(number, handler), None)[1])
    with limits.limited_time():
        pass
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_a_thread_is_told_once_that_it_took_too_long(monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.2)
    told = []

    def work() -> None:
        with limits.limited_time():
            ends = time.monotonic() + 1.5
            while time.monotonic() < ends:
                try:
                    time.sleep(0.01)
                except limits.TooLongError:
                    told.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert len(told) == 1
