"""The plugin API is documented word for word: who reads the page writes code that runs."""

import ast
import re

from architecture.sources import ROOT

GUIDE = ROOT / "docs" / "plugin-author"
HOOKS = ROOT / "sdk" / "src" / "cloudos_sdk" / "hooks.py"


def signatures():
    """Return each hook's signature as it stands in hooks.py."""
    for node in ast.parse(HOOKS.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("cloudos_"):
            prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
            yield f"{prefix}{node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"


def headings(page):
    return re.findall(r"^#+ `(.+)`$", (GUIDE / page).read_text(), re.MULTILINE)


def test_each_hook_has_a_heading_with_its_exact_signature_and_no_other_has_one():
    assert headings("hooks.md") == list(signatures())


def test_each_field_of_the_manifest_is_explained():
    from dataclasses import fields

    from cloudos_sdk import Manifest

    text = (GUIDE / "manifest.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [field.name for field in fields(Manifest)]


def test_every_python_example_of_the_guide_is_python_and_imports_what_there_is():
    import importlib

    for page in GUIDE.glob("*.md"):
        for example in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for node in ast.walk(ast.parse(example, page.name)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cloudos_sdk"):
                    module = importlib.import_module(node.module)
                    for alias in node.names:
                        assert hasattr(module, alias.name), f"{page.name}: {node.module} has no {alias.name}"


def test_every_link_of_the_guide_leads_somewhere():
    for page in GUIDE.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_guide_names_the_checks_of_every_capability():
    from cloudos_sdk import capabilities
    from cloudos_sdk.testing import contracts

    text = (GUIDE / "testing.md").read_text()
    for name in (name for name in dir(contracts) if name.startswith("check_")):
        assert f"`{name}`" in text
    protocols = [name for name in capabilities.__all__ if getattr(getattr(capabilities, name), "_is_protocol", False)]
    for name in protocols:
        check = "check_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert hasattr(contracts, check), f"{name} has no contract"
