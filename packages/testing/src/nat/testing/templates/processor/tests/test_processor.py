"""What this processor does."""

from nat.testing import Recording, recorded_run, replay

from nat_acme.register import AcmeConfig


def test_every_span_says_its_team() -> None:
    with Recording(processors=[AcmeConfig(team="search")]) as recording:
        replay(recorded_run("tool_call"), recording.telemetry)

    assert len(recording.spans) == 4
    assert {span.attributes["acme.team"] for span in recording.spans} == {"search"}
