"""`python -m lm_eval show --task … --doc N`: show a document as a model gets it, in every encoding scheme."""

import argparse
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lm_eval.common.arguments import add_seed, make_parser, program
from lm_eval.common.command import DONE, exit_status
from lm_eval.common.console import line_width
from lm_eval.common.text import count_of, read_pairs
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import MODEL_KEYS, SEGMENTING_SCHEMES, RunConfig
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.contexts.document_texts import DocumentTexts
from lm_eval.contexts.encoding_schemes import Context
from lm_eval.contexts.file_tokens import FileTokens
from lm_eval.errors import ConfigurationError
from lm_eval.models.model_list import DEMO, DEMO_MODELS
from lm_eval.results.canonical_form import canonical
from lm_eval.tasks.base import FORM_OF_MODEL, Task
from lm_eval.tasks.documents import Document, count_documents, documents_of
from lm_eval.tasks.registry import TASKS, find_task, known_task

_EPILOG = """
Texts stand as Python writes them (\\n is a line break). The number in front of a segment is that of its tokens
where --model_args names a model, else of its characters. * marks the right choices.

  python -m lm_eval show --task hellaswag_dg --doc 3 --num_fewshot 2 \\
      --model_args pretrained=demo/models/demo-gpt

exit status: 0 done, 2 the call was wrong
"""
_USUAL = {"WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "dot_product"}
"""What a configuration needs that is named to be shown alone."""
_MARGIN = 8


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = make_parser("Show a document as a model gets it.", _EPILOG, prog=f"{program()} show")
    parser.add_argument("--task", required=True, help="a task's name, such as hellaswag_dg")
    parser.add_argument("--doc", type=int, default=0, metavar="N", help="its place in the shuffled order (default 0)")
    parser.add_argument("--num_fewshot", type=int, default=0, metavar="N", help="shots in the context (default 0)")
    add_seed(parser)
    parser.add_argument("--encoding_scheme", metavar="SCHEME,…", help="these schemes alone (default: all that differ)")
    parser.add_argument("--model_args", default="", metavar="KEY=VALUE,…", help="the model whose tokens are counted")
    parser.add_argument("--tokens", action="store_true", help="show the tokens too")
    parser.add_argument("--data_dir", metavar="DIR", help="folder with the data, in place of the hub")
    parser.add_argument("--include_path", metavar="DIR", help="folder with task files (YAML)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Print a document and return the exit status."""
    args = _parse(argv)
    return exit_status(lambda: _show(args), only_shows=True)


def _show(args: argparse.Namespace) -> int:
    if args.doc < 0:
        raise ConfigurationError(f"--doc must be a non-negative number, got {args.doc}")
    task = _find_task(args.task, args.include_path)
    configs = _configs(args, task)
    document = _document(configs[0], task, args.doc)
    tokens = FileTokens.of(configs[0]) if configs[0].pretrained != _NO_MODEL else None
    page = _Page(tokens=tokens, shows_tokens=args.tokens, width=(line_width() or 100) - 1)
    where = f" ({document.example.source})" if document.example.source else ""
    head = f"{task.name}, document {document.doc_id}, {count_of(args.num_fewshot, 'shot')}{where}"
    print(textwrap.fill(head, page.width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))
    alike: dict[tuple[Context, ...], list[RunConfig]] = {}
    for config in configs:
        alike.setdefault(DocumentTexts.of(config, task, document).contexts, []).append(config)
    for contexts, same in alike.items():
        print("\n".join(["", *page.describe_contexts(same, contexts)]))
    print("\n".join(["", *page.describe_choices(configs[0], document)]))
    return DONE


_NO_MODEL = "none"


def _find_task(name: str, include_path: str | None) -> Task:
    """Return a task whatever its form; the error for a name that there isn't is that of the form that it looks like.

    Raises:
        ConfigurationError: no task has that name.
    """
    kinds = {task.form: kind for kind in FORM_OF_MODEL for task in TASKS.values() if FORM_OF_MODEL[kind] == task.form}
    for kind in kinds.values():
        if (task := known_task(kind, name, include_path)) is not None:
            return task
    likely = "dist_gen" if name.endswith("_dg") else "dist_sim" if name.endswith("_d") else "hf"
    return find_task(likely, name, include_path)


def _kind_of(task: Task) -> str:
    return next(kind for kind, form in FORM_OF_MODEL.items() if form == task.form)


def _configs(args: argparse.Namespace, task: Task) -> list[RunConfig]:
    """Return a configuration for each scheme that is shown."""
    kind = _kind_of(task)
    stated = read_pairs(args.model_args, "model_args")
    stated.setdefault("pretrained", _NO_MODEL)
    named = [scheme for scheme in (args.encoding_scheme or "").split(",") if scheme]
    usual = [None] if kind == "hf" else [*SEGMENTING_SCHEMES, *(["cross_encoding"] if kind == "dist_gen" else [])]
    data_dir = args.data_dir or _demo_data(stated["pretrained"] or "")
    configs = []
    for scheme in named or usual:
        settings = {key: text for key, text in _USUAL.items() if scheme in SEGMENTING_SCHEMES or kind == "dist_sim"}
        if kind == "dist_gen":
            settings.pop("SIMILARITY_FUNC", None)
        of_scheme = stated if scheme != "cross_encoding" else _without_settings(stated)
        configs.append(
            RunConfig.parse(
                model=kind,
                model_args={**settings, **of_scheme},
                task=task.name,
                task_args={"encoding_scheme": scheme, "data_dir": data_dir, "include_path": args.include_path},
                num_fewshot=args.num_fewshot,
                seed=args.seed,
            )
        )
    return configs


def _without_settings(stated: dict[str, str | None]) -> dict[str, str | None]:
    return {key: text for key, text in stated.items() if key in MODEL_KEYS or key not in SETTING_NAMES}


def _demo_data(pretrained: str) -> str | None:
    """Return the folder of the demo's data for the demo's models, as in grids."""
    path = Path(pretrained).resolve()
    return str(DEMO / "data") if path.parent == DEMO / "models" and path.name in DEMO_MODELS else None


def _document(config: RunConfig, task: Task, number: int) -> Document:
    """Return a document with its shots.

    Raises:
        ConfigurationError: there are not so many.
    """
    there = count_documents(task.dataset, config.data_dir, Limit())
    if number >= there:
        raise ConfigurationError(f"--doc {number}: {task.name} has {there} documents, from 0 to {there - 1}")
    limited = replace(canonical(config, task.dataset), limit=Limit(number, number + 1), num_fewshot=config.num_fewshot)
    return documents_of(limited, task.dataset)[0]


@dataclass(frozen=True, kw_only=True)
class _Page:
    """How texts are shown: with which numbers in front, and how wide."""

    tokens: FileTokens | None
    shows_tokens: bool
    width: int

    @property
    def _unit(self) -> str:
        return "characters" if self.tokens is None else "tokens"

    def describe_contexts(self, configs: Sequence[RunConfig], contexts: Sequence[Context]) -> Iterator[str]:
        """Yield the lines of a context, under the schemes that make it."""
        names = ", ".join(config.encoding_scheme or config.model for config in configs)
        for number, context in enumerate(contexts):
            segments = [text for sample in context.samples for text in sample]
            total = sum(map(self._count_segment, segments))
            of_choice = f" (of choice {number})" if len(contexts) > 1 else ""
            head = f"{names}{of_choice}: {count_of(len(segments), 'segment')}, {total:,} {self._unit}"
            yield from textwrap.wrap(head + self._say_front(), self.width, subsequent_indent="    ")
            for place, sample in enumerate(context.samples):
                if len(context.samples) > 1:
                    yield f"  {'query' if place == len(context.samples) - 1 else f'sample {place + 1}'}"
                for text in sample:
                    yield from self._entry(text, self._tokens_of_segment(text))

    def describe_choices(self, config: RunConfig, document: Document) -> Iterator[str]:
        """Yield the lines of the choices."""
        example = document.example
        yield f"choices: {len(example.choices)}" + (
            ", tokenised together with their contexts in a run" if self._joins_choices(config) else ""
        )
        for index, text in enumerate(example.choices):
            tokens = None if self.tokens is None else self.tokens.choice(text)
            yield from self._entry(text, tokens, "*" if index in example.gold else " ")

    def _joins_choices(self, config: RunConfig) -> bool:
        """Whether a run tokenises a choice behind its context, where it may get other tokens than alone."""
        return config.model == "hf" and self.tokens is not None and not self.tokens.is_encoder_decoder

    def _say_front(self) -> str:
        front = () if self.tokens is None else self.tokens.front
        return f", {' '.join(front)} in front of each" if front else ""

    def _tokens_of_segment(self, text: str) -> list[str] | None:
        return None if self.tokens is None else self.tokens.segment(text)

    def _count_segment(self, text: str) -> int:
        tokens = self._tokens_of_segment(text)
        return len(text) if tokens is None else len(tokens)

    def _entry(self, text: str, tokens: Sequence[str] | None, mark: str = " ") -> Iterator[str]:
        number = len(text) if tokens is None else len(tokens)
        indent = " " * _MARGIN
        yield from _wrap(json.dumps(text, ensure_ascii=False), f"{mark}{number:6,} ", indent, self.width)
        if tokens is not None and self.shows_tokens:
            yield from _wrap(" ".join(tokens), indent + "= ", indent + "  ", self.width)


def _wrap(text: str, first: str, other: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=other, drop_whitespace=True, break_on_hyphens=False
    )
