from nat.builder.context import ContextState

original = TrackingExporter(endpoint="https://traces.example.com", api_key="key")
original._queue.append({"name": "waiting"})
original._metrics["sent"] = 3

isolated = original.create_isolated_instance(ContextState.get())

assert len(original._queue) == 1
assert len(isolated._queue) == 0
assert original._metrics == {"sent": 3, "failed": 0}
assert isolated._metrics == {"sent": 0, "failed": 0}
assert isolated.session is original.session
assert isolated.headers is original.headers
