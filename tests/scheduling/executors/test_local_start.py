"""What Ray is told where it starts on a machine that others use too."""

import os
import stat

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray import local_start
from lm_eval.scheduling.executors.ray.local_start import local_options, temporary_folder
from lm_eval.scheduling.hardware import Gpu, Machine

GIB = 1 << 30


def machine(memory_gib: float, *gpus: Gpu) -> Machine:
    return Machine(host="here", num_cpus=4, memory_gib=memory_gib, gpus=gpus)


@pytest.mark.parametrize(("memory_gib", "store"), [(0.5, 128 << 20), (10.0, GIB), (500.0, 2 * GIB)])
def test_the_object_store_is_a_small_part_of_the_memory(memory_gib, store):
    assert local_options(machine(memory_gib))["object_store_memory"] == store


def test_instances_of_mig_are_handed_out_by_their_names(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    parts = [Gpu(name="x", memory_gib=10.0, capability=(9, 0), is_part=True, uuid=f"MIG-{one}") for one in "ab"]
    assert local_options(machine(10.0, *parts))["num_gpus"] == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "MIG-a,MIG-b"


def test_a_long_folder_for_temporary_files_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 20)))
    assert temporary_folder().parent.as_posix() == "/tmp"
    monkeypatch.setenv("RAY_TMPDIR", "/dev/shm")
    assert temporary_folder().as_posix() == "/dev/shm/ray"


def test_a_folder_in_which_nothing_can_be_written_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(local_start, "_LONGEST", 1000)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert temporary_folder() == tmp_path / "ray"
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) == str(tmp_path) and not (tmp_path / "ray").exists())
    (tmp_path / "ray").mkdir(mode=stat.S_IRUSR)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) == str(tmp_path))
    assert temporary_folder() == tmp_path / f"ray-{os.getuid()}"


def test_where_there_is_no_such_folder_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(local_start, "_is_usable", lambda folder: False)
    with pytest.raises(ConfigurationError, match="set RAY_TMPDIR to another"):
        temporary_folder()
