"""What is read of a text takes steps as its length, not as its square: these would take minutes."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from cloudos_notes.text import markdown, prose
from hypothesis import given, settings
from hypothesis import strategies as st

CASES = {
    "quotes around open fences": ("markdown.read", "'> ```\\n#a\\n' * 30_000"),
    "quotes around open HTML": ("markdown.read", "'> <!--\\n[[a]]\\n' * 30_000"),
    "lists around open fences": ("markdown.read", "'- ```\\n#a\\n' * 30_000"),
    "a title of combining marks": ("folded", "'a' + '\\u0301\\u0323' * 500_000"),
    "a tag of combining marks": ("markdown.read", "'#a' + '\\u0301\\u0323' * 250_000"),
    "links of spaces": ("markdown.read", "('[[a' + ' ' * 990 + 'b]] ') * 1_000"),
    "lines of everything": ("markdown.read", "'> - 1. #a [[b]] `c` <d> ](e)\\n' * 20_000"),
}


@pytest.mark.parametrize("name", CASES)
def test_no_text_takes_minutes(name):
    what, text = CASES[name]
    script = (
        f"from cloudos_notes.text import markdown\nfrom cloudos_notes.text.normalization import folded\n{what}({text})"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_rename_copies_a_text_once():
    content = "[[a]] " * 4_000 + "x" * 500_000
    assert markdown.renamed(content, "a", "b") == "[[b]] " * 4_000 + "x" * 500_000


def test_a_text_has_so_many_tags_and_links_and_no_more():
    found = markdown.read("".join(f"#t{n} [[n{n}]]\n" for n in range(20_000)))
    assert (len(found.tags), len(found.links)) == (markdown.MOST_TAGS, markdown.MOST_LINKS)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("#a\n#b\n\n# c\n#d", ["#a\n#b\n", "# c\n", "#d"]),
        ("```\n#no\n```\n#yes", ["#yes"]),
        ("~~~~ x\n```\n~~~\n#no\n~~~~~\n#yes", ["#yes"]),
        ("> - ```\n> #no\n> ```\n> #yes", ["> #yes"]),
        ("    #no\n\n    #no\n#yes", ["#yes"]),
        ("#yes\n    #yes", ["#yes\n    #yes"]),
        ("<div>\n#no\n\n#yes", ["#yes"]),
        ("```\n#no", []),
    ],
)
def test_line_by_line_code_says_nothing_either(lines, expected):
    split = lines.split("\n")
    found = ["\n".join(split[a:b]) for a, b, _ in prose._by_lines(split)]
    assert [text.rstrip("\n") for text in found] == [text.rstrip("\n") for text in expected]


@given(st.lists(st.sampled_from(["#a", "x [[b]]", "", "# h #no", "```", "- #c", "> #d"]), max_size=12))
@settings(max_examples=200, deadline=None)
def test_both_ways_to_read_see_the_same_fences(lines):
    """Where all containers are of one line, the two ways may differ in paragraphs, not in what is within a fence."""
    text = "\n".join(line for line in lines if line[:1] not in "->")
    both = [way(text.split("\n")) for way in (prose._by_blocks, prose._by_lines)]
    seen = [{n for a, b, _ in found for n in range(a, b)} for found in both]
    full = [n for n, line in enumerate(text.split("\n")) if line.strip()]
    assert [n for n in full if n in seen[0]] == [n for n in full if n in seen[1]]


async def test_a_long_text_is_read_beside_the_loop_and_one_at_a_time_for_each_user(notes):
    node = await notes()
    long = "> ```\n#a\n" * 60_000
    busy = [asyncio.create_task(node.write(long, title=f"n{n}")) for n in range(6)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        answer = await node.running.admin.post("/api/notes", json={"content": "#short\n" * 1000, "title": "short"})
        assert answer.status_code == 201
    assert not all(task.done() for task in busy)
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
