"""Every processor that this project ships passes the tests that any processor inherits."""

from typing import Any

from nat.testing.processor_conformance import ProcessorConformance

_KEY = "sk-ant-api03-" + "Zr8" * 31 + "AA"


class TestRedact(ProcessorConformance):
    """Secrets and personal data."""

    processor_type = "redact"
    removes = (_KEY, "ada@example.org")

    def settings(self) -> dict[str, Any]:
        return {"profile": "pii"}


class TestContentThatIsCut(ProcessorConformance):
    """Short texts."""

    processor_type = "content"

    def settings(self) -> dict[str, Any]:
        return {"mode": "truncate:50"}


class TestNoContent(ProcessorConformance):
    """None at all."""

    processor_type = "content"

    def settings(self) -> dict[str, Any]:
        return {"mode": "none"}


class TestContentThatIsStored(ProcessorConformance):
    """Long texts in files."""

    processor_type = "content"

    def settings(self) -> dict[str, Any]:
        return {"offload": {"to": str(self.folder / "blobs"), "over_chars": 100}}


class TestEnrich(ProcessorConformance):
    """Everything that it adds."""

    processor_type = "enrich"

    def settings(self) -> dict[str, Any]:
        return {
            "environment": "test",
            "resource": True,
            "git": True,
            "attributes": {"team": "search"},
            "computed": {"label": "{run.name}/{step.name:-none}"},
            "prices": {"models": {"*": {"input": 1, "output": 2}}},
            "roll_up": True,
        }


class TestFilterThatDrops(ProcessorConformance):
    """A rule that is for some items."""

    processor_type = "filter"
    may_drop = True

    def settings(self) -> dict[str, Any]:
        return {"action": "drop", "when": {"kind": ["LLM"]}}


class TestFilterOfSpans(TestFilterThatDrops):
    """A rule that only finished spans can meet."""

    takes_steps = False

    def settings(self) -> dict[str, Any]:
        return {"action": "keep", "when": {"status": "error"}}


class TestSample(ProcessorConformance):
    """A share, and what failed."""

    processor_type = "sample"
    may_drop = True

    def settings(self) -> dict[str, Any]:
        return {"ratio": 0.5, "keep": "errors"}


class TestSampleOfEverything(TestSample):
    """The whole."""

    may_drop = False

    def settings(self) -> dict[str, Any]:
        return {"ratio": 1.0}


class TestRoute(ProcessorConformance):
    """One tenant's runs apart, and all others as the entry says."""

    processor_type = "route"

    def settings(self) -> dict[str, Any]:
        return {"by": "tenant", "routes": {"acme": {"project": "acme"}}, "otherwise": "send"}
