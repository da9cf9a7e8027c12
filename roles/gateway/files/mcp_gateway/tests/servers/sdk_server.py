"""A tool server on the official SDK: `sdk_server.py stdio` or `sdk_server.py http PORT`."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    Completion,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    SamplingMessage,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel

mcp = MCPServer(name="sdk", instructions="Use echo to hear yourself.")
PIXEL = base64.b64encode(bytes(range(256)))


class Name(BaseModel):
    name: str


@mcp.tool()
def echo(text: str) -> str:
    """Say it again."""
    return text


@mcp.tool()
def image() -> list[ImageContent]:
    """A picture."""
    return [ImageContent(type="image", data=PIXEL.decode(), mime_type="image/png")]


@mcp.tool()
def big(size: int) -> str:
    """So many bytes."""
    return "x" * size


@mcp.tool()
def fail() -> str:
    """Always fails."""
    raise RuntimeError("on purpose")


@mcp.tool()
async def progress(ctx: Context, steps: int) -> str:
    """Reports progress."""
    for step in range(steps):
        await ctx.report_progress(progress=step, total=steps, message=f"step {step}")
    return "done"


@mcp.tool()
async def chatter(ctx: Context) -> str:
    """Logs."""
    await ctx.info("first words")
    return "said"


@mcp.tool()
async def elicit(ctx: Context) -> str:
    """Asks in the middle of the call."""
    answer = await ctx.elicit(message="Who are you?", schema=Name)
    return f"{answer.action}:{answer.data.name if answer.action == 'accept' else ''}"


@mcp.tool()
async def sample(ctx: Context) -> str:
    """Asks the client's model."""
    result = await ctx.session.create_message(
        messages=[SamplingMessage(role="user", content=TextContent(type="text", text="hi"))],
        max_tokens=10,
        related_request_id=ctx.request_id,
    )
    return f"model said {result.content.text}"


@mcp.tool()
async def ask(ctx: Context) -> str | InputRequiredResult:
    """Asks by ending the call."""
    responses = ctx.input_responses
    if responses and isinstance(responses.get("who"), ElicitResult):
        return f"hello {responses['who'].content['name']}"
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    question = ElicitRequest(
        params=ElicitRequestFormParams(message="Who are you?", requested_schema=schema)
    )
    return InputRequiredResult(input_requests={"who": question})


@mcp.tool()
async def hang(marker: str) -> str:
    """Never answers; leaves a marker when it starts, another when it is cancelled."""
    Path(marker + ".started").touch()
    try:
        await asyncio.Event().wait()
    finally:
        Path(marker + ".cancelled").touch()
    return "never"


@mcp.tool()
def pid() -> str:
    """Which process answers."""
    return str(os.getpid())


@mcp.tool()
def environment() -> str:
    """What the process was given."""
    return "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items()))


@mcp.tool()
async def grow(ctx: Context, name: str) -> str:
    """Adds a tool."""
    mcp.add_tool(lambda: name, name=name, description=f"Says {name}.")
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "grown"


@mcp.tool()
def exit_now() -> str:
    """Ends the process."""
    os._exit(3)


@mcp.tool()
async def touch(ctx: Context, uri: str) -> str:
    """Says that a resource changed."""
    await ctx.session.send_resource_updated(uri)
    return "touched"


@mcp.resource("memo://today")
def memo() -> str:
    """A note."""
    return "buy milk"


@mcp.resource("memo://blob")
def blob() -> bytes:
    """Bytes."""
    return bytes(range(256))


@mcp.resource("memo://day/{day}")
def memo_of(day: str) -> str:
    """A note of a day."""
    return f"note of {day}"


@mcp.prompt()
def greet(name: str) -> str:
    """A greeting."""
    return f"Greet {name}."


@mcp.completion()
async def complete(ref, argument, context) -> Completion:
    return Completion(values=[argument.value + "-completed"], total=1, has_more=False)


async def subscribe(ctx, params: SubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def unsubscribe(ctx, params: UnsubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


server = mcp._lowlevel_server
server.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)

if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        mcp.run(transport="stdio")
    else:
        mcp.run(transport="streamable-http", port=int(sys.argv[2]))
