"""An agent of a shop, to have something to ask about: it looks up an order, and pays back what can be paid back."""

from nat.observability import observe, step

_ORDERS = {"1001": 25.0, "1002": 310.0}
_LIMIT = 100.0


def answer(question: str) -> str:
    """Pay back the orders that the question names."""
    said = [refund(word.strip("?,.")) for word in question.split() if word.strip("?,.").isdigit()]
    with step(
        "answer", kind="llm", input=question, metadata={"model": "scripted-large", "provider": "example"}
    ) as call:
        call.usage(prompt_tokens=900, completion_tokens=60)
        call.output = "; ".join(said) or "Which order?"
    return str(call.output)


def refund(order: str) -> str:
    """Decide on one order, and pay it back."""
    with step("decide", kind="llm", input=order, metadata={"model": "scripted-small", "provider": "example"}) as call:
        call.usage(prompt_tokens=300, completion_tokens=12, cached_tokens=200)
        call.output = f"pay_back({order})"
    try:
        return f"{order}: {pay_back(order):.2f} are on their way"
    except (LookupError, PermissionError) as exc:
        return f"{order}: {exc}"


@observe(kind="tool")
def find_order(order: str) -> float:
    """What was paid."""
    if order not in _ORDERS:
        raise LookupError("there is no such order")
    return _ORDERS[order]


@observe(kind="tool")
def pay_back(order: str) -> float:
    """Pay an order back."""
    paid = find_order(order)
    if paid > _LIMIT:
        raise PermissionError(f"{paid:.2f} are more than an agent may pay back")
    return paid
