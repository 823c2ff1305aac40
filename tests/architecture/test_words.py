"""The words are those of docs/glossary.md; a name that was replaced does not come back."""

import re

import pytest
from architecture.sources import HOST, PLUGINS, ROOT, SDK

RETIRED_MODULES = {
    "lean_http",
    "lean_tcp", "maintenance", "migrating", "serving", "offline", "secret_box", "exposition", "doorkeeping",
    "far_side", "watching", "ledger", "live_rules", "by_hand", "intake", "bookkeeping", "directory", "vocabulary",
    "minutes", "past_hours", "windows", "own_source", "administration", "signing_in", "texts", "words", "naming",
    "rows",
    "walking", "front", "bearers", "keyring", "wire", "reach", "once", "resemblance", "recall", "pieces", "observing",
    "utils", "helpers", "common_utils", "misc",
}  # fmt: skip
RETIRED_CLASSES = {
    "Ladder", "Found", "DeathNotes", "Door", "Doorkeeping", "Ledger", "TokenMint", "SigningIn", "Directory", "Intake",
    "Bookkeeper", "ByHand", "Watching", "Couriers", "Reach", "Front", "KeyRing", "KeyBearers", "HandOver", "GateSocket",
    "TakingOver", "DaysLeft", "CertificateWatch",
}  # fmt: skip
RETIRED_PHRASES = (
    r"\bto mend it:", r"\bare of no use: no such plugin", r"\bwhich there is not\b", r"\bplugin is not well\b",
    r"\bboot ladder\b", r"\brung\b",
)  # fmt: skip
ALL = [*HOST, *SDK, *(module for modules in PLUGINS.values() for module in modules)]


def test_no_module_has_a_retired_name():
    assert not [module.place for module in ALL if module.path.stem in RETIRED_MODULES]


def test_modules_are_nouns():
    gerunds = [module.place for module in ALL if re.search(r"(^|_)(?!ranking)[a-z]{3,}ing$", module.path.stem)]
    assert not gerunds, f"a module is a noun of the field: {gerunds}"


def test_no_class_has_a_retired_name():
    pattern = re.compile(rf"^class ({'|'.join(RETIRED_CLASSES)})\b", re.MULTILINE)
    found = {module.place: pattern.findall(module.path.read_text()) for module in ALL}
    assert not {place: names for place, names in found.items() if names}


@pytest.mark.parametrize("phrase", RETIRED_PHRASES)
def test_no_message_or_page_has_a_retired_phrase(phrase):
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.name != "glossary.md"]
    texts = [*(module.path for module in ALL), *pages, *ROOT.glob("plugins/*/README.md"), ROOT / "README.md"]
    assert not [str(path.relative_to(ROOT)) for path in texts if re.search(phrase, path.read_text())]


def test_the_glossary_has_one_meaning_for_each_word():
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[1:]
    assert len(rows) >= 60 and len(set(rows)) == len(rows)
    assert rows == sorted(rows)
