"""Full text: prose, identifiers, any Unicode, many notes of few words."""

import asyncio

import pytest
from cloudos_notes.storage.excerpts import WordMatches
from cloudos_notes.text.tokenizer import hidden_words, query_terms
from cloudos_sdk.capabilities import NoteDraft, NoteFilter
from hypothesis import given, settings
from hypothesis import strategies as st

OWNER = "usr_operator"
ALL = NoteFilter(owner=OWNER)
CHARACTERS = st.characters(exclude_categories=["Cs", "Cn", "Co"], exclude_characters="\0")


@pytest.fixture
async def node(notes):
    return await notes()


async def titles(node, query, limit=10, **fields):
    hits = await node.store.search_text(query, NoteFilter(owner=OWNER, **fields), limit)
    return [hit.note.title for hit in hits]


async def test_a_question_finds_the_note_that_answers_it(node):
    await node.write("The backup runs at three in the morning and keeps seven days", title="Backups")
    await node.write("The proxy listens on port 443", title="Proxy")
    await node.write("What is there to say about the weather", title="Weather")
    assert (await titles(node, "When does the backup run, and what does it keep?"))[0] == "Backups"
    assert (await titles(node, "which ports are listened on by the proxy?"))[0] == "Proxy"


@pytest.mark.parametrize(
    ("content", "queries"),
    [
        ("set retry_backoff_seconds to 5", ["retry_backoff_seconds", "backoff", "retry backoff"]),
        ("class HttpServerError", ["HttpServerError", "httpservererror", "server error", "Http"]),
        ("import os.path.join", ["os.path.join", "path join", "os.path"]),
        ("the host node01 and v2.14.3", ["node01", "node", "2.14.3", "v2.14"]),
        ("Crème brûlée à la carte", ["creme brulee", "CRÈME", "brul"]),
        ("東京都に住んでいます", ["東京", "東", "住んで"]),
        ("Привет, мир", ["привет", "МИР", "прив"]),
        ("see https://example.org/a-page?x=1", ["example.org", "a-page", "https://example.org/a-page?x=1"]),
        ("user@example.com wrote", ["user@example.com", "example"]),
        ("naïve café", ["naive", "cafe"]),
        ("Чёрный кот й", ["черный", "ЧЁРНЫЙ", "черн"]),
        ("Θάλασσα και ήλιος", ["θαλασσα", "ΘΑΛΑΣΣΑ", "ηλιος", "ήλιος"]),
        ("مُحَمَّد كتب", ["محمد", "كتب"]),
        ("die Straße im Łódź", ["strasse", "STRASSE", "straße", "lodz"]),
        ("a kite \U0001fa81 up there", ["\U0001fa81"]),
        ("\U0001f469\u200d\U0001f680 in orbit", ["\U0001f469\u200d\U0001f680", "\U0001f680"]),
        ("한국어 문서", ["한국어"]),
        ("cre\u0301me", ["creme", "crème"]),
    ],
)
async def test_words_and_parts_of_identifiers_are_found(node, content, queries):
    await node.write(content, title="The one")
    await node.write("something else altogether", title="Another")
    for query in queries:
        assert (await titles(node, query))[:1] == ["The one"], query


async def test_what_changes_is_found_by_its_new_words_alone(node):
    note = await node.write("alpha", title="t")
    await node.change(note, content="beta")
    assert await titles(node, "alpha") == [] and await titles(node, "beta") == ["t"]
    await node.change(note, title="gamma")
    assert await titles(node, "gamma") == ["gamma"]
    await node.ask("DELETE", f"/api/notes/{note['id']}?permanent=true", 204)
    assert await titles(node, "beta") == []


async def test_words_that_every_note_has_cost_nothing_and_still_find_the_newest(node, monkeypatch):
    monkeypatch.setattr("cloudos_notes.storage.fulltext_sqlite._MOST_SCORED", 5)
    for number in range(12):
        await node.write(f"common words here number{number}", title=f"n{number}")
    await node.write("common words", title="last")
    assert (await titles(node, "common number3", 3))[0] == "n3"
    found = await titles(node, "common words", 3)
    assert len(found) == 3 and set(found) <= {f"n{n}" for n in range(12)} | {"last"}
    assert len(await titles(node, "common", 20)) == 13


async def test_a_snippet_marks_the_words_that_say_something(node):
    await node.write("The backup of the orders is kept at the other site", title="Orders")
    (hit,) = await node.store.search_text("where is the backup", ALL, 5)
    assert hit.snippet.startswith("The **backup** of the orders is kept")
    assert await titles(node, "of the") == ["Orders"], "there is nothing else to look for"
    assert query_terms("is IT in the US") == [["IT"], ["US"]]


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("The pumps are running", [["pump"], ["runs"]], "The **pumps** are **running**"),
        ("une Crème, cre\u0301me", [["creme"]], "une **Crème**, **cre\u0301me**"),
        ("we live in 東京都 now", [["東京"]], "we live in **東京**都 now"),
        ("set retry_backoff to 5", [["retry", "backoff"], ["retry"], ["backoff"]], "set **retry_backoff** to 5"),
        ("portals, then ports", [["port"]], "portals, then **ports**"),
        ("orchestra", [["orch"]], "**orchestra**"),
        ("nothing of it\n", [["pump"]], "nothing of it\n"),
        ("?!", [["—"]], "?!"),
        ("", [], ""),
    ],
)
def test_an_excerpt_marks_the_words_of_the_query_in_their_forms(text, terms, expected):
    assert WordMatches(terms).excerpt(text) == expected


def test_an_excerpt_is_the_place_of_most_words_and_says_where_it_is_cut():
    text = f"A pump. {'x ' * 300}the old pump of the well {'y ' * 300}"
    found = WordMatches([["pump"], ["well"]]).excerpt(text)
    assert "the old **pump** of the **well** y" in found and found.startswith("…x ") and found.endswith(" y…")
    assert (
        len(WordMatches([["b"]]).excerpt("a" * 500_000)) < 700
        and len(WordMatches([["a"]]).excerpt("a " * 500_000)) < 300
    )


@given(st.text(max_size=300), st.lists(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3), max_size=4))
@settings(max_examples=300, deadline=None)
def test_an_excerpt_of_a_short_text_is_the_text_but_for_its_marks(text, terms):
    found = WordMatches(terms).excerpt(text)
    shown = found.replace("**", "").strip("…")
    assert shown in text.replace("**", "") or "*" in text or "…" in text


@pytest.mark.parametrize(
    ("content", "query", "many"), [("e9e " * 200_000, "e9e", 1), ("[[Hub]] and " * 5_000, "Hub", 20)]
)
async def test_a_word_that_a_note_says_very_often_is_found_soon(node, content, query, many):
    for number in range(many):
        await node.write(content, title=f"n{number}")
    async with asyncio.timeout(10):
        for answer in await asyncio.gather(*(node.get(f"/api/notes?q={query}") for _ in range(5))):
            assert len(answer) == many and all(f"**{query}**" in note["excerpt"] for note in answer)


async def test_a_word_of_very_many_notes_does_not_hide_what_begins_like_a_rare_one(node, monkeypatch):
    monkeypatch.setattr("cloudos_notes.storage.fulltext_sqlite._MOST_SCORED", 5)
    for number in range(12):
        await node.write(f"common words here {number}", title=f"n{number}")
    await node.write("orchestra", title="rare")
    assert await titles(node, "commo orch", 20) == ["rare", *(f"n{n}" for n in reversed(range(12)))]
    assert "rare" in await titles(node, "common orch", 20)


async def test_any_text_is_a_query_and_finds_the_note_that_it_is(node):
    @given(
        st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"], exclude_characters="\0"), min_size=1, max_size=60)
    )
    @settings(max_examples=80, deadline=None, database=None)
    def texts(text):
        seen.append(text)

    seen = []
    texts()
    for text in seen:
        note = await node.store.create(OWNER, NoteDraft(title="t", content=f"about {text}"))
        hits = await node.store.search_text(text, ALL, 500)
        if any(character.isascii() and character.isalnum() for character in text):
            assert note.id in [hit.id for hit in hits], text
        await node.store.delete(OWNER, note.id, for_good=True)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_terms_are_bounded_words(text):
    terms = query_terms(text)
    assert len(terms) <= 48
    assert all(word and len(word) <= 64 for term in terms for word in term)
    hidden_words(text)
