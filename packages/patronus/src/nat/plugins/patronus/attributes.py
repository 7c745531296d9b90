"""A span in Patronus's words: project and app, which its SDK 0.1.26 writes on every span; the rest stays OpenInference."""

from typing import Any

from nat.data_models.span import Span

__all__ = ["patronus_attributes"]


def patronus_attributes(span: Span, project: str, app: str) -> dict[str, Any]:
    """The attributes of a span as Patronus wants to see them."""
    return {**span.attributes, "pat.project.name": project, "pat.app": app}
