"""Reading the docstrings under the fields of a dataclass, for help pages."""

import ast
import inspect
import textwrap


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring under each field in the source of a class, by the field's name, as one line.

    Fields of base classes and fields without a docstring are left out.

    Raises:
        OSError: the source isn't available.
    """
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101  (the source of a class is its definition)
    docs: dict[str, str] = {}
    for field, below in zip(definition.body, definition.body[1:]):  # noqa: B905  (each with the one below it)
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = " ".join(text.split())
    return docs
