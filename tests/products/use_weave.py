"""Run in the environment `weave` or `weave-client`: two calls, one inside the other, and a model call with its tokens.

python use_weave.py PROJECT
"""

import sys

import weave  # type: ignore[import-not-found]  # of those environments

client = weave.init(sys.argv[1])


@weave.op  # type: ignore[untyped-decorator]
def multiply(a: int, b: int) -> int:
    return a * b


@weave.op  # type: ignore[untyped-decorator]
def agent(question: str) -> int:
    return int(multiply(6, 7))


agent("what is 6 x 7?")
call = client.create_call("toy-model", {"messages": [{"role": "user", "content": "hi"}]}, attributes={"kind": "LLM"})
call.summary = {
    "usage": {"toy-model": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "requests": 1}}
}
client.finish_call(call, output={"text": "hello"})
client.finish()
