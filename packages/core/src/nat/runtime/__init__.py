"""Runtime: from a workflow file to a run."""
