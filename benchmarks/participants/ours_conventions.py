"""nat-telemetry with exporters of three conventions: `otelcollector`, `langfuse` and `langsmith`."""

from measuring import main
from ours import Ours

from nat.observability import Telemetry
from nat.plugins.langfuse.register import LangfuseConfig
from nat.plugins.langsmith.register import LangsmithConfig
from nat.plugins.opentelemetry.register import OtelCollectorConfig


class OursInThreeConventions(Ours):
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        first, last = endpoints[0], endpoints[-1]
        configs = {
            "otelcollector": OtelCollectorConfig(endpoint=first),
            "langfuse": LangfuseConfig(endpoint=endpoints[len(endpoints) // 2], public_key="pk", secret_key="sk"),
            "langsmith": LangsmithConfig(endpoint=last, api_key="ls"),
        }
        chosen = configs if self.chosen is None else {self.chosen: configs[self.chosen]}
        self.telemetry = Telemetry(chosen, redact=self.redact).start()


if __name__ == "__main__":
    main(OursInThreeConventions())
