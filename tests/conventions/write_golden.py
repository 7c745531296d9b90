"""Writes the golden files anew: `python -m tests.conventions.write_golden`."""

from tests.conventions.recordings import CONVENTIONS, RUNS, golden_file, said_by, sent, text_of

if __name__ == "__main__":
    for run_id in RUNS:
        for conventions in CONVENTIONS:
            file = golden_file(run_id, conventions)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text_of(said_by(sent(run_id, conventions))), "utf-8")
