"""The processor `acme`."""

from nat.plugin_api import Processor, Span


class AcmeProcessor(Processor[Span, Span]):
    """Adds the attribute `acme.team` to every span.

    Args:
        team: Its value.
    """

    def __init__(self, team: str) -> None:
        self._team = team

    async def process(self, item: Span) -> Span | None:
        """Return a changed copy, or None to drop the span. If this raises, the span is not sent."""
        attributes = {**item.attributes, "acme.team": self._team}
        return item.model_copy(update={"attributes": attributes})
