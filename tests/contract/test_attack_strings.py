"""No text that anybody may send takes more time than it is long, wherever it goes."""

import asyncio

import pytest
from contract.promises import all_plugins

LENGTH = 12_000
ATTACKS = {
    "letters": "a" * LENGTH,
    "spaces": " " * LENGTH + "!",
    "tabs and ends": "\t\n" * (LENGTH // 2),
    "capitals": "A" * LENGTH + "a",
    "digits": "1" * LENGTH,
    "dots": "." * LENGTH,
    "names with dots": "a." * (LENGTH // 2) + "!",
    "names with dashes": "a-" * (LENGTH // 2) + "!",
    "hashes": "#" * LENGTH,
    "backslashes": "\\" * LENGTH,
    "brackets": "[[" * (LENGTH // 2),
    "quotes": "> ```\n#a\n" * (LENGTH // 9),
    "marks": "a" + "\u0301\u0323" * (LENGTH // 2),
    "addresses": "a@" * (LENGTH // 2),
    "slashes": "https://" + "a/" * (LENGTH // 2),
    "percents": "%" * LENGTH,
    "stars": "*" * LENGTH,
    "colons": "1:" * (LENGTH // 2),
    "words": "ab " * (LENGTH // 3),
    "lines": "GET / HTTP/1.1\r\nX: y\r\n" * (LENGTH // 22),
}
AREAS = (
    "alerts", "audit", "auth", "backup", "backups", "dashboard", "events", "mcp", "molly", "notes", "operations",
    "system", "webhooks",
)  # fmt: skip
LEFT_OUT = {("get", "/api/events"), ("get", "/api/system/metrics/stream"), ("post", "/api/auth/logout")}


NUMBERS = [10**30, -(10**30), 2**63, 2**53 + 1, -1, 0, 1.5e308, 5e-324]


def filled(schema, document, text, depth=0, number=None):
    """Return a value of a schema in which each text is this one, and each number, where one is given."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return filled(document["components"]["schemas"][name], document, text, depth + 1, number) if depth < 6 else text
    for kind in ("anyOf", "oneOf", "allOf"):
        if kind in schema:
            return filled(schema[kind][0], document, text, depth + 1, number)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "object":
        if "properties" not in schema:
            return {text[:200]: text}
        return {name: filled(each, document, text, depth + 1, number) for name, each in schema["properties"].items()}
    if kind == "array":
        return [filled(schema.get("items", {}), document, text, depth + 1, number)]
    if number is not None and kind in ("integer", "number"):
        return number
    return {"integer": 1, "number": 0.5, "boolean": False, "null": None}.get(kind, text)


@pytest.fixture
async def node(cloudos):
    return await all_plugins(cloudos)


async def test_each_text_parameter_takes_any_text(node):
    async with asyncio.timeout(300):
        for name, text in ATTACKS.items():
            assert await send_everywhere(*node, text) > 50, name


async def test_each_number_parameter_takes_any_number(node):
    async with asyncio.timeout(300):
        for number in NUMBERS:
            assert await send_everywhere(*node, "text", number) > 50, number


async def send_everywhere(host, head, text, number=None):
    """Send a text, and a number, as each that the API takes; return how often."""
    document, asked = await (await host.anonymous.get("/openapi.json")).get_json(), 0
    for path, operations in document["paths"].items():
        if path.split("/")[2:3] == [] or path.split("/")[2] not in AREAS:
            continue
        for method, operation in operations.items():
            if method == "delete" or (method, path) in LEFT_OUT:
                continue
            queries = [p for p in operation.get("parameters", ()) if p["in"] == "query"]
            bodies = [c["schema"] for c in operation.get("requestBody", {}).get("content", {}).values()]
            requests = [
                {"query_string": {query["name"]: text[:4000] if number is None else str(number)}} for query in queries
            ]
            requests += [{"json": filled(schema, document, text, number=number)} for schema in bodies]
            for request in requests:
                real = path.replace("{", "").replace("}", "")
                answer = await host.anonymous.request(method.upper(), real, headers=head, **request)
                assert answer.status_code < 500 or answer.status_code == 503, f"{method} {path} {answer.status_code}"
                assert len(await answer.get_data()) < 200_000, f"{method} {path}"
                asked += 1
    return asked
