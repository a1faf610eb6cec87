"""The link to the process that holds Ray: real processes that answer, fall silent, stop, end, in place of Ray's."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray import link as module
from lm_eval.scheduling.executors.ray.link import RayLink
from lm_eval.scheduling.executors.ray.messages import Ask, RayLostError, Tick
from tests.support.waiting import PATIENCE_S, assert_all_end, wait_for

BEGIN = """
import os, subprocess, sys, time
from multiprocessing.connection import Connection
from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray.messages import Answer, Ready, Tick

connection = Connection(int(sys.stdin.readline()))
connection.send(Ready())
answer = lambda value=None, error=None: (connection.recv(), connection.send(Answer(value=value, error=error)))
"""
SLEEPS = "subprocess.Popen(['sleep', '600'])"
WAITS = "time.sleep(600)"


@pytest.fixture
def linked(monkeypatch) -> Iterator[Callable[..., RayLink]]:
    """Makes a link to a process that does what a test says."""
    monkeypatch.setattr(module, "SAID_S", 0.5)
    monkeypatch.setattr(module, "_CLOSE_S", 0.1)
    links: list[RayLink] = []

    def make(*lines: str, cluster: str = "there:6379") -> RayLink:
        monkeypatch.setattr(module, "_BOOT", "\n".join([BEGIN, *lines]))
        links.append(RayLink(cluster, 1.5))
        return links[-1]

    yield make
    for link in links:
        link.close()


def wait_until_lost(link: RayLink) -> str:
    deadline = time.monotonic() + PATIENCE_S
    with pytest.raises(RayLostError) as lost:
        wait_for(lambda: link.receive(1.0) and time.monotonic() > deadline, "a loss")
    return str(lost.value)


def test_what_is_asked_is_answered_and_what_is_told_meanwhile_is_kept(linked):
    link = linked("answer('Ray at there:6379')", "connection.send(Tick(nodes=frozenset('a')))", "answer([1])", WAITS)
    link.connect()
    assert link.joined == "Ray at there:6379"
    assert link.ask("list_nodes") == [1]
    assert link.receive(1.0) == [Tick(nodes=frozenset("a"))]


def test_what_is_wrong_with_the_call_is_raised_as_such(linked):
    with pytest.raises(ConfigurationError, match="nobody there"):
        linked("answer(error=ConfigurationError('nobody there'))", WAITS).connect()


def test_what_else_fails_is_a_loss_of_ray(linked):
    with pytest.raises(RayLostError, match="OSError: no space"):
        linked("answer(error=RuntimeError('OSError: no space'))", WAITS).connect()


def test_silence_is_told_at_first_and_then_a_loss(linked, capsys):
    link = linked("answer('the Ray cluster at there:6379')", WAITS)
    link.connect()
    assert wait_until_lost(link) == "the Ray cluster at there:6379 has not answered for 2 s"
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("the Ray cluster at there:6379 has not answered for ")
    assert told.endswith("s; this ends after 2 s")


def test_one_that_stands_still_in_the_middle_of_a_message_is_silent_too(linked):
    link = linked("answer('R')", "os.write(connection.fileno(), bytes([0, 0, 1, 0]) + b'a part of it')", WAITS)
    link.connect()
    assert "R has not answered" in wait_until_lost(link)


def test_one_that_answers_again_is_no_loss(linked, capsys):
    link = linked("answer('R')", "time.sleep(1)", "connection.send(Tick(nodes=frozenset()))", WAITS)
    link.connect()
    wait_for(lambda: link.receive(0.5), "a tick")
    assert capsys.readouterr().err.splitlines()[-1] == "R answers again"


def test_a_process_that_ends_is_a_loss_at_once_and_its_last_words_are_told(linked):
    link = linked("print('RayError: the head is gone', flush=True)", "os._exit(3)")
    assert wait_until_lost(link).endswith("ended, status 3): RayError: the head is gone")


def test_a_command_to_a_process_that_stands_still_is_not_waited_for(linked):
    link = linked(WAITS)
    began = time.monotonic()
    for _ in range(3):
        link.send(Ask(function="connect", arguments=("x" * 1_000_000,)))
    assert time.monotonic() - began < 5
    assert "has not answered" in wait_until_lost(link)


def test_all_that_was_started_is_ended_also_what_stands_still_and_no_file_stays(linked):
    link = linked(SLEEPS, SLEEPS, "answer()", WAITS, cluster="local")
    link.connect()
    tree = [psutil.Process(link._process.pid), *psutil.Process(link._process.pid).children()]
    assert len(tree) == 3
    tree[0].suspend()
    tree[1].suspend()
    folder = Path(str(link.worker_folder))
    assert folder.is_dir()
    link.close()
    assert_all_end(tree)
    assert not folder.exists()
