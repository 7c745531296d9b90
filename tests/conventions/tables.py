"""The tables of `docs/guide/conventions.md`, from the code: `python -m tests.conventions.tables` prints them."""

from collections.abc import Iterator

from nat.observability.spans.genai_names import TABLES, Form, Row

__all__ = ["names_table", "operations_table"]

_OLD, _NEW = TABLES["1.41"], TABLES["0.1.0"]


def operations_table() -> list[str]:
    """Which operation a kind of span is."""
    head = ["| span | `gen_ai.operation.name` |", "|---|---|"]
    return [*head, *(f"| {kind} | `{operation}` |" for kind, operation in _OLD.operations.items())]


def names_table() -> list[str]:
    """What each attribute is called in both versions."""
    return ["| OpenInference | on | `gen_ai` 1.37 to 1.41 | v0.1.0 | type |", "|---|---|---|---|---|", *_rows()]


def _rows() -> Iterator[str]:
    new = {(row.source, row.kind): row for row in _NEW.rows}
    for old in _OLD.rows:
        yield _line(old, old, new[old.source, old.kind])
    known = {(row.source, row.kind) for row in _OLD.rows}
    for row in _NEW.rows:
        if (row.source, row.kind) not in known:
            yield _line(row, None, row)
    for field, (name, form) in _OLD.evaluation.items():
        yield f"| `evaluations.N.{field}` | all | `{name}` | same | {form} |"


def _line(row: Row, old: Row | None, new: Row) -> str:
    older = "" if old is None else f"`{old.name}`"
    newer = "same" if old is not None and old.name == new.name else f"`{new.name}`"
    return f"| `{row.source}` | {row.kind or 'all'} | {older} | {newer} | {_type(row if old is None else old, new)} |"


def _type(old: Row, new: Row) -> str:
    words = {Form.JSON: "JSON text"}
    forms = dict.fromkeys((old.form, new.form))
    return ", then ".join(words.get(form, form.value) for form in forms)


if __name__ == "__main__":
    print("\n".join([*operations_table(), "", *names_table()]))
