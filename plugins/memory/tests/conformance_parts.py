"""Two plugins that add, through the capability, what the MCP conformance suite expects of a server.

`test` gives its tools, prompts (`test_…`) and resources (`test://…`); the one tool whose name begins otherwise,
`json_schema_2020_12_tool`, is the tool `tool` of a plugin with the id `json_schema_2020_12`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import zlib
from contextlib import asynccontextmanager
from types import ModuleType

from cloudos_sdk import Manifest, NotFound, hookimpl
from cloudos_sdk.capabilities.mcp import (
    McpArgument,
    McpParts,
    McpPrompt,
    McpResource,
    McpResult,
    McpSource,
    McpTool,
)

NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}


def plugin(id, make):
    """Return a plugin with this id that provides the parts which `make(ctx)` returns."""
    module = ModuleType(id)

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        ctx.provide(McpSource, make(ctx))
        yield

    module.manifest = Manifest(title=f"Parts of {id}", provides=(McpSource,))
    module.cloudos_lifespan = cloudos_lifespan
    return module


def tool(name, run, arguments=NOTHING, **more):
    """Return a tool of few words."""
    more.setdefault("scope", "read_memory")
    return McpTool(name=name, title=name, description=f"Tests {name}", arguments=arguments, run=run, **more)


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PNG = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")),
        _chunk(b"IEND", b""),
    ]
)
WAV = b"RIFF" + struct.pack("<I", 38) + b"WAVEfmt " + struct.pack("<IHHIIHHI", 16, 1, 1, 8000, 8000, 1, 8, 2)[:20]
WAV = WAV + b"data" + struct.pack("<I", 2) + b"\x80\x80"
IMAGE = {"type": "image", "data": base64.b64encode(PNG).decode(), "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": base64.b64encode(WAV).decode(), "mimeType": "audio/wav"}


def text(said):
    return {"type": "text", "text": said}


def embedded(uri, mime, body):
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": body}}


def returning(*content):
    async def run(call, arguments):
        return McpResult(content=content)

    return run


async def fail(call, arguments):
    return McpResult(content=[text("This tool intentionally returns an error for testing")], is_error=True)


async def logging(call, arguments):
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await call.log("info", said)
        await asyncio.sleep(0.05)
    return McpResult.text("logged")


async def progress(call, arguments):
    for done in (0, 50, 100):
        await call.progress(done, 100)
        await asyncio.sleep(0.05)
    return McpResult.text("done")


async def sampling(call, arguments):
    said = {"role": "user", "content": text(arguments["prompt"])}
    answer = await call.ask("sampling/createMessage", {"messages": [said], "maxTokens": 100})
    return McpResult.text(f"LLM response: {answer['content']['text']}")


async def elicitation(call, arguments):
    answer = await ask(call, arguments["message"], {"username": {"type": "string"}, "email": {"type": "string"}})
    return McpResult.text(f"User response: {answer}")


async def ask(call, message, properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    answer = await call.ask("elicitation/create", {"message": message, "requestedSchema": schema})
    return json.dumps(answer)


async def defaults(call, arguments):
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return McpResult.text(f"Elicitation completed: {await ask(call, 'Who?', properties)}")


async def enums(call, arguments):
    titled = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
    plain = ["option1", "option2", "option3"]
    properties = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return McpResult.text(f"Elicitation completed: {await ask(call, 'Which?', properties)}")


async def reconnection(call, arguments):
    await call.close_stream()
    await asyncio.sleep(0.2)
    return McpResult.text("You came back")


async def slow(call, arguments):
    await call.progress(0, 1, "sleeping")
    await asyncio.sleep(60)
    return McpResult.text("too late")


def one_text(name):
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


TOOLS = (
    tool("simple_text", returning(text("This is a simple text response for testing."))),
    tool("image_content", returning(IMAGE)),
    tool("audio_content", returning(AUDIO)),
    tool("embedded_resource", returning(embedded("test://embedded-resource", "text/plain", "An embedded resource."))),
    tool(
        "multiple_content_types",
        returning(text("Several:"), IMAGE, embedded("test://mixed-content-resource", "application/json", '{"a": 1}')),
    ),
    tool("tool_with_logging", logging),
    tool("error_handling", fail),
    tool("tool_with_progress", progress),
    tool("sampling", sampling, one_text("prompt")),
    tool("elicitation", elicitation, one_text("message")),
    tool("elicitation_sep1034_defaults", defaults),
    tool("elicitation_sep1330_enums", enums),
    tool("reconnection", reconnection),
    tool("slow", slow),
)


async def static_text(call, values):
    return "This is the content of the static text resource."


async def static_binary(call, values):
    return PNG


async def template(call, values):
    if values["id"] == "none":
        raise NotFound("thing", values["id"])
    return json.dumps({"id": values["id"], "data": f"Data for ID: {values['id']}"})


async def complete_id(call, typed):
    return [id for id in ("1", "12", "123") if id.startswith(typed)]


def resource(uri, read, mime_type="text/plain", **more):
    name = "r" + "".join(c if c.isalnum() else "_" for c in uri.partition("://")[2].lower())
    return McpResource(
        uri=uri, name=name, title=name, description=f"Tests {uri}", read=read, mime_type=mime_type, **more
    )


RESOURCES = (
    resource("test://static-text", static_text),
    resource("test://static-binary", static_binary, "image/png"),
    resource("test://watched-resource", static_text, events=("user.login",)),
    resource("test://template/{id}/data", template, "application/json", complete={"id": complete_id}),
)


def saying(*contents):
    async def get(call, arguments):
        return [{"role": "user", "content": content} for content in contents]

    return get


async def with_arguments(call, arguments):
    said = f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"
    return [{"role": "user", "content": text(said)}]


async def with_resource(call, arguments):
    inner = embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
    return [
        {"role": "user", "content": inner},
        {"role": "user", "content": text("Please process the embedded resource above.")},
    ]


async def complete_city(call, typed):
    return [city for city in ("paris", "park", "party") if city.startswith(typed)]


def prompt(name, get, *arguments):
    return McpPrompt(name=name, title=name, description=f"Tests {name}", get=get, arguments=arguments)


def required(name, complete=None):
    return McpArgument(name=name, description=f"The argument {name}", required=True, complete=complete)


PROMPTS = (
    prompt("simple_prompt", saying(text("This is a simple prompt for testing."))),
    prompt("prompt_with_arguments", with_arguments, required("arg1", complete_city), required("arg2")),
    prompt("prompt_with_embedded_resource", with_resource, required("resourceUri")),
    prompt("prompt_with_image", saying(IMAGE, text("Please analyze the image above."))),
)

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}


def test_plugin():
    """Return the plugin `test`."""
    return plugin("test", lambda ctx: McpParts(ctx, TOOLS, RESOURCES, PROMPTS))


def schema_plugin():
    """Return the plugin `json_schema_2020_12`."""
    parts = (tool("tool", returning(text("fits")), SCHEMA),)
    return plugin("json_schema_2020_12", lambda ctx: McpParts(ctx, parts))


test_plugin.__test__ = False
