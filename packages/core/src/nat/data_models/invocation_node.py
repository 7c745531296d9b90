"""The function in which a step happened, and the one that called it."""

from pydantic import BaseModel, ConfigDict

__all__ = ["InvocationNode"]


class InvocationNode(BaseModel):
    """One function of the workflow and its caller; the defaults stand for the top of the workflow."""

    model_config = ConfigDict(defer_build=True)

    function_id: str = "root"
    function_name: str = "root"
    parent_id: str | None = None
    parent_name: str | None = None
