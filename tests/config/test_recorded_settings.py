"""Settings are stated, and hashed into identities, as they were when they were still text: folders hold that."""

import json
from pathlib import Path

from lm_eval.common.typed_files import read_as
from lm_eval.config.run_config import RunConfig
from lm_eval.results.identity import resolve
from lm_eval.results.result_file import config_content
from lm_eval.results.schema import ConfigFile

RECORDED = json.loads((Path(__file__).parent / "recorded" / "settings.json").read_text(encoding="utf-8"))
"""300 generated configurations, with what the code before the types made of each."""


def _stated(model_args: str) -> dict[str, str]:
    pairs = (pair.split("=", 1) for pair in model_args.split(","))
    return {key: text for key, text in pairs if key.isupper() and text not in ("None", "False")}


def test_settings_are_stated_as_ever():
    for row in RECORDED:
        config = RunConfig.parse(**row["call"])
        public = {key: text for key, text in config.vectors.public().items() if text is not None}
        assert public == config.vectors.stated() == _stated(row["call"]["model_args"])
        assert config.model_args() == row["model_args"]


def test_identities_are_as_ever():
    for row in RECORDED:
        assert resolve(RunConfig.parse(**row["call"])).name == row["fingerprint"], row["call"]


def test_a_result_file_gives_back_the_configuration_that_it_states():
    for row in RECORDED:
        config = RunConfig.parse(**row["call"])
        assert read_as(ConfigFile, {"config": config_content(config)}).config.parse(config.task) == config
