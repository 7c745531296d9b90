"""nat-telemetry with exporters of three conventions: `otelcollector`, `langfuse` and `langsmith`."""

from measuring import main
from ours import Ours

from nat.observability import Telemetry
from nat.plugins.langfuse.register import LangfuseConfig
from nat.plugins.langsmith.register import LangsmithConfig
from nat.plugins.opentelemetry.register import OtelCollectorConfig


class OursInThreeConventions(Ours):
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        first, second, third = endpoints
        self.telemetry = Telemetry(
            OtelCollectorConfig(endpoint=first),
            LangfuseConfig(endpoint=second, public_key="pk-benchmark", secret_key="sk-benchmark"),
            LangsmithConfig(endpoint=third, api_key="ls-benchmark"),
        ).start()


if __name__ == "__main__":
    main(OursInThreeConventions())
