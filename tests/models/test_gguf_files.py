"""Which GGUF file is meant, what its header says before anything is loaded, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from lm_eval.cli.evaluate import main
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.errors import ConfigurationError
from lm_eval.inference.loading import load_model
from lm_eval.models.info import files_of_model, model_identity, read_facts
from lm_eval.models.size import find_size
from tests.support.gguf_files import write_gguf
from tests.support.hub_stand_in import COMMIT, running_hub
from tests.support.paths import TOP
from tests.support.tiny_models import save_tiny, tiny_model


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    return write_gguf(folder / "tiny.Q8_0.gguf", *tiny_model("llama"), kind=gguf.GGMLQuantizationType.Q8_0)


def test_a_file_is_a_model_by_its_path_its_folder_and_its_name_in_the_folder(file):
    ways = [(str(file), None), (str(file.parent), None), (str(file.parent), file.name)]
    facts = [read_facts(path, checkpoint=Checkpoint(gguf_file=name)) for path, name in ways]
    assert {(one.num_layers, find_size(one), one.config["model_type"]) for one in facts} == {(3, 50912, "llama")}
    assert len({str(model_identity(path, None, Checkpoint(gguf_file=name))) for path, name in ways}) == 1


def test_the_header_counts_what_the_loaded_model_has(file):
    assert read_facts(str(file)).parameters == sum(p.numel() for p in load_model(str(file)).network.parameters())


def test_a_file_is_known_by_its_content_and_not_by_its_name(file, tmp_path):
    renamed = shutil.copy(file, tmp_path / "other.gguf")
    identity = model_identity(str(file), None)
    assert set(identity) == {"gguf"}
    assert model_identity(str(renamed), None) == identity
    renamed.write_bytes(renamed.read_bytes()[:-1] + b"!")
    assert model_identity(str(renamed), None) != identity
    assert files_of_model(str(renamed)) == [renamed]


def test_a_folder_of_several_files_says_how_to_choose(file, tmp_path):
    for name in ("m.Q4_0.gguf", "m.Q8_0.gguf"):
        shutil.copy(file, tmp_path / name)
    with pytest.raises(
        ConfigurationError,
        match=r"holds 2 GGUF files \(m.Q4_0.gguf, m.Q8_0.gguf\) and no other weights; choose one by gguf_file=m.Q4_0",
    ):
        read_facts(str(tmp_path))
    assert read_facts(str(tmp_path), checkpoint=Checkpoint(gguf_file="m.Q8_0.gguf")).num_layers == 3


def test_beside_other_weights_a_file_is_read_only_where_it_is_named(file, tmp_path):
    folder = save_tiny("gpt2", tmp_path / "model")
    shutil.copy(file, folder / "m.gguf")
    assert read_facts(str(folder)).config["model_type"] == "gpt2"
    named = Checkpoint(gguf_file="m.gguf")
    assert read_facts(str(folder), checkpoint=named).config["model_type"] == "llama"
    assert "content" in model_identity(str(folder), None)
    assert model_identity(str(folder), None, named) == model_identity(str(file), None)


def test_a_config_without_weights_beside_a_file_changes_nothing(file, tmp_path):
    shutil.copy(file, tmp_path / "m.gguf")
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert read_facts(str(tmp_path)).config["model_type"] == "llama"


def test_what_is_not_there_is_refused_with_what_is(file):
    with pytest.raises(ConfigurationError, match=r"pretrained=.*/none.gguf: no such file; .* has tiny.Q8_0.gguf"):
        read_facts(str(file.parent / "none.gguf"))
    with pytest.raises(ConfigurationError, match=r"gguf_file=none.gguf: no such file; .* has tiny.Q8_0.gguf"):
        read_facts(str(file.parent), checkpoint=Checkpoint(gguf_file="none.gguf"))
    with pytest.raises(ConfigurationError, match=r"pretrained=model.gguf: no such file; \. has no \.gguf files"):
        read_facts("model.gguf")


@pytest.mark.parametrize(
    ("further", "what"),
    [
        ({"gguf_file": "a.gguf"}, "neither gguf_file nor subfolder"),
        ({"subfolder": "a"}, "neither gguf_file nor subfolder"),
        ({"load_in_8bit": True}, "leave load_in_8bit and load_in_4bit out|bitsandbytes"),
    ],
)
def test_what_has_no_meaning_with_a_file_is_refused(further, what, file):
    with pytest.raises(ConfigurationError, match=what):
        read_facts(str(file), checkpoint=Checkpoint(**further))


def test_a_file_has_no_revision(file):
    with pytest.raises(ConfigurationError, match=r"revision=main: .* is local"):
        read_facts(str(file), "main")


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"expert_count": 8}, "llama.expert_count = 8, and mixtures of experts"),
        ({"logit_scale": 0.5}, "llama.logit_scale = 0.5, and that isn't known of architecture llama"),
        ({"attention.head_count_kv": [2, 2, 1]}, "layers that differ can't be loaded"),
        ({"rope.scaling.type": "odd"}, "only none, linear, yarn and longrope"),
        ({"attention.key_length": 8, "attention.value_length": 4}, "llama.attention.value_length = 4, and only 8"),
    ],
)
def test_a_field_that_nothing_heeds_is_refused(fields, what, tmp_path):
    path = write_gguf(tmp_path / "m.gguf", *tiny_model("llama"), fields=fields)
    with pytest.raises(ConfigurationError, match=what + ".* give the model as a folder"):
        read_facts(str(path))


def test_layers_that_a_list_gives_the_same_number_are_read(tmp_path):
    path = write_gguf(tmp_path / "m.gguf", *tiny_model("llama"), fields={"attention.head_count_kv": [2, 2, 2]})
    assert read_facts(str(path)).config["num_key_value_heads"] == 2


def test_an_architecture_that_cannot_be_read_exactly_is_refused_with_those_that_can(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "mamba")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    _close(writer)
    with pytest.raises(
        ConfigurationError, match=r"'mamba' can't be read from a GGUF file exactly \(these can: llama, "
    ):
        read_facts(str(tmp_path / "m.gguf"))


def _close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_part_of_a_model_and_an_adapter_are_refused(tmp_path):
    for key, add, what in (
        ("split.count", lambda w: w.add_uint16("split.count", 3), "one of 3 parts of a model"),
        ("adapter", lambda w: w.add_string("general.type", "adapter"), r"it holds no model \(general.type 'adapter'\)"),
    ):
        writer = gguf.GGUFWriter(tmp_path / f"{key}.gguf", "llama")
        add(writer)
        writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
        _close(writer)
        with pytest.raises(ConfigurationError, match=what):
            read_facts(str(tmp_path / f"{key}.gguf"))


@pytest.mark.parametrize("kept", [0, 3, 20, 2000, -40])
def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(kept, file, tmp_path):
    (tmp_path / "m.gguf").write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ConfigurationError, match=r"not a GGUF file of version 2 or 3|the file is cut off"):
        read_facts(str(tmp_path / "m.gguf"))


def test_a_plan_of_a_file_imports_neither_torch_nor_transformers(file, data_dir):
    program = (
        "import sys\n"
        "from lm_eval.config.run_config import RunConfig\n"
        "from lm_eval.models.info import read_facts\n"
        "from lm_eval.models.size import find_size\n"
        "from lm_eval.results.identity import resolve\n"
        f"config = RunConfig(model='dist_gen', pretrained={str(file)!r}, task='hellaswag_dg', "
        f"encoding_scheme='cross_encoding', data_dir={str(data_dir)!r})\n"
        "find_size(read_facts(config.pretrained)), resolve(config)\n"
        "print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=TOP, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.slow
def test_a_file_of_a_hub_model_is_fetched_once_and_known_by_name_and_commit(file, data_dir, tmp_path):
    repository = tmp_path / "hub" / "models" / "some" / "model-GGUF"
    repository.mkdir(parents=True)
    shutil.copy(file, repository / "m.gguf")
    output = tmp_path / "r.json"
    args = ["--model", "dist_gen", "--tasks", "hellaswag_dg", "--limit", "2", "--output_path", str(output)]
    args += ["--task_args", f"encoding_scheme=cross_encoding,data_dir={data_dir}"]
    assert main([*args, "--model_args", f"pretrained={file}"]) == 0
    of_the_file = json.loads(output.read_text())
    found = []
    with running_hub(tmp_path / "hub") as hub:
        local = {"NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        env = {**os.environ, **local, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache")}
        for name in ("m.gguf", "none.gguf"):
            command = [sys.executable, "-m", "lm_eval", *args, "--model_args"]
            done = subprocess.run(
                [*command, f"pretrained=some/model-GGUF,gguf_file={name}"],
                capture_output=True, text=True, cwd=TOP, env=env, check=False,
            )  # fmt: skip
            found.append((done.returncode, done.stderr))
        assert hub.fetched == ["some/model-GGUF/m.gguf"]
    assert [code for code, _ in found] == [0, 2], found
    assert found[0][1] == ""  # a pipe gets nothing that moves, and no warning
    of_the_hub = json.loads(output.read_text())
    assert of_the_hub["results"] == of_the_file["results"]
    identity = of_the_hub["identity"]["hellaswag_dg"]["weights"]
    assert identity == {"hub": "some/model-GGUF", "revision": COMMIT, "gguf_file": "m.gguf"}
    assert "pretrained=some/model-GGUF: none.gguf is neither in the cache nor available" in found[1][1]
