"""Documents as texts, and their tokens by the tokenizer's files: what a run makes of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.contexts.document_texts import DocumentTexts, with_texts
from lm_eval.contexts.file_tokens import FileTokens
from lm_eval.contexts.tokenization import Tokeniser
from lm_eval.inference.loading import load_for
from lm_eval.results.identity import resolve
from lm_eval.tasks.base import Example
from lm_eval.tasks.documents import Document
from lm_eval.tasks.registry import find_task
from tests.support.tiny_models import save_tiny
from tests.support.tokenizer_forms import save_with_tokenizer

SETTINGS = "WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=dot_product"


def config_of(model: Path, data_dir: Path, scheme: str, kind: str = "dist_sim", **changes) -> RunConfig:
    task, settings = {"dist_sim": ("hellaswag_d", SETTINGS), "dist_gen": ("hellaswag_dg", "WORD_AGG_SCHEME=mean")}[kind]
    return RunConfig.parse(
        model=kind,
        model_args=f"pretrained={model},{settings}",
        task=task,
        task_args=f"encoding_scheme={scheme},data_dir={data_dir}",
        num_fewshot=2,
        limit=3,
        **changes,
    )


@pytest.mark.parametrize("kind", ["dist_sim", "dist_gen"])
@pytest.mark.parametrize("family", ["gpt2", "t5", "llama"])
def test_the_files_of_a_tokenizer_give_the_tokens_of_a_run(family, kind, data_dir, tmp_path):
    folder = tmp_path / family
    if family == "llama":
        save_with_tokenizer(folder, family, "prepend", "BOS")
    else:
        save_tiny(family, folder)
    config = config_of(folder, data_dir, "sentence_level_segmentation", kind)
    run, model = resolve(config), load_for(config, Execution())
    files = FileTokens.of(run.config)
    documents = run.documents()
    for document, tokenised in zip(documents, Tokeniser(model, run.config, run.task)(documents), strict=True):
        texts = DocumentTexts.of(run.config, run.task, document)
        segments = [text for sample in texts.contexts[0].samples for text in sample]
        for text, segment in zip(segments, tokenised.context, strict=True):
            own = segment.tokens[segment.num_front :]
            assert files.segment(text) == model.tokenizer.convert_ids_to_tokens(list(own))
        for text, choice in zip(texts.choices, tokenised.choices, strict=True):
            assert files.choice(text) == model.tokenizer.convert_ids_to_tokens(list(choice.tokens[choice.num_front :]))


def test_samples_get_the_segments_and_choices_of_their_own_documents(data_dir):
    config = config_of(Path("none"), data_dir, "concat_each_example")
    task = find_task(config.model, config.task)
    documents = [
        Document(doc_id=number, example=example(f"question {number}"), shots=(example("shot"),)) for number in (4, 7)
    ]
    samples = [{"doc_id": 7, "scores": [0.1]}, {"doc_id": 4, "scores": [0.2]}]
    assert with_texts(samples, config, task, documents) == [
        {"doc_id": 7, "scores": [0.1], "context": [["shot one"], ["question 7"]], "choices": [" one", " two"]},
        {"doc_id": 4, "scores": [0.2], "context": [["shot one"], ["question 4"]], "choices": [" one", " two"]},
    ]
    without = replace(config, encoding_scheme="no_context")
    assert with_texts(samples, without, task, documents)[0]["context"] == []


def example(question: str, **changes) -> Example:
    return Example(question=(question,), choices=(" one", " two"), gold=(0,), **changes)


def test_where_choices_have_contexts_of_their_own_each_is_stated(data_dir):
    config = config_of(Path("none"), data_dir, "concat_all_examples")
    document = Document(doc_id=0, example=example("unused", contexts=("first", "second")), shots=())
    (sample,) = with_texts([{"doc_id": 0}], config, find_task(config.model, config.task), [document])
    assert sample["contexts"] == [[["first"]], [["second"]]]
    assert "context" not in sample
