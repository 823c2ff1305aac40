"""Tags and links in Markdown."""

import time

import pytest
from cloudos_notes.text import markdown
from cloudos_notes.text.normalization import folded
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_characters="[]|#^\\`<>\n\r\0", exclude_categories=["Cs", "Cc", "Z"]), min_size=1)


def tags(content):
    return list(markdown.read(content).tags)


def links(content):
    return [link.title for link in markdown.read(content).links]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("#one and #two/three, #four-five_6", ["one", "two/three", "four-five_6"]),
        ("#One #one", ["One"]),
        ("#2024 #2024-q1 #1984y", ["2024-q1", "1984y"]),
        ("mid#word C# #! # alone ##two", []),
        ("#Überblick #日本 #हिन्दी", ["Überblick", "日本", "हिन्दी"]),
        ("#end. #comma, (#paren)", ["end", "comma"]),
        ("- #item\n  - [ ] #task\n\n> #quote\n>> #deep", ["item", "task", "quote", "deep"]),
        ("# Heading #no\n\n#yes\n\nSetext #no\n===\n", ["yes"]),
        ("#NotAHeading", ["NotAHeading"]),
        ("```\n#no\n```\n\n    #no\n\n~~~ #no\n#no\n~~~\n#yes", ["yes"]),
        ("`#no` and `` ` #no `` #yes", ["yes"]),
        ("`open #yes", ["yes"]),
        ("\\` #yes \\`", ["yes"]),
        ("https://x.org/#no https://x.org/a #yes [t](u #no) <http://x #no>", ["yes"]),
        ("<a title=' #no'> #yes\n\n<div>\n#no\n</div>", ["yes"]),
        ("\\#no", []),
        ("| a | b |\n|---|---|\n| #cell | x |", ["cell"]),
        ("#a\r\n#b\r#c", ["a", "b", "c"]),
    ],
)
def test_inline_tags_are_those_of_obsidian(content, expected):
    assert tags(content) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[[A]] [[B|b]] [[C#part]] [[D#part|d]] ![[E]] [[ F ]] [[G^block]]", list("ABCDEFG")),
        ("[[]] [[ ]] [[|x]] [[#here]] [A] [[A] [[A\n]]", []),
        ("# In a [[Heading]]", ["Heading"]),
        ("`[[no]]` \\[[no]] ```[[no]]```", []),
        ("```\n[[no]]\n```\n[[yes]]", ["yes"]),
        ("| [[cell\\|alias]] |", ["cell"]),
        ("[[Ü]] [[ünïcode 🦜]] [[東京]]", ["Ü", "ünïcode 🦜", "東京"]),
        ("[[a/b]] [[[c]]]", ["a/b", "c"]),
    ],
)
def test_wikilinks_name_titles(content, expected):
    assert links(content) == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_and_every_link_stands_where_it_says(content):
    found = markdown.read(content)
    for link in found.links:
        assert content[link.start : link.end] == link.title
        assert link.key == folded(link.title) != ""
    for tag in found.tags:
        assert f"#{tag}" in content and not tag.isnumeric()


@given(st.lists(st.sampled_from(["`", "``", "#a", "[[b]]", "\\", "\n", "\n\n", "> ", "- ", "```", " ", "<b>", "x"])))
@settings(max_examples=150, deadline=None)
def test_code_says_nothing_as_markdown_it_sees_it(parts):
    from markdown_it import MarkdownIt

    content = "".join(parts)
    prose = []
    for token in MarkdownIt("commonmark").parse(content):
        prose += [child.content for child in token.children or () if child.type == "text"]
    seen = "".join(prose)
    assert len(markdown.read(content).links) <= seen.count("[[b]]")


@given(
    NAMES, NAMES, st.text(st.characters(exclude_characters="[]`\\<\0", exclude_categories=["Cs", "Cc"]), max_size=60)
)
@settings(max_examples=150, deadline=None)
def test_a_rename_changes_the_links_and_nothing_else(old, new, around):
    content = f"a [[{old}]] {around} [[{old}|alias]] [[{old}#part]]"
    for link in markdown.read(content).links:
        assert link.key == folded(old)
    changed = markdown.renamed(content, folded(old), new)
    if len(markdown.read(content).links) == 3:
        assert changed == f"a [[{new}]] {around} [[{new}|alias]] [[{new}#part]]"


@pytest.mark.parametrize(
    "content",
    [
        "`" * 200_000,
        "` `` " * 40_000,
        "[[" * 100_000,
        "#" * 200_000 + " #a",
        "<a" * 100_000 + " #a",
        "](" * 100_000 + " #a",
        "> " * 5_000 + "#a",
        "- " * 5_000 + "#a",
        ("[[" + "x" * 990 + " ") * 200,
        "a" * 200_000 + " #b",
        "#a" * 100_000,
        "[a]: b\n" * 20_000 + "#a",
        "\\" * 200_000 + "` #a",
    ],
    ids=lambda content: content[:8],
)
def test_no_text_takes_long(content):
    start = time.process_time()
    markdown.read(content)
    assert time.process_time() - start < 3
