"""What the screens promise a host page, checked without a browser."""

import json
import re
from pathlib import Path

import pytest

from scripts import ROOT
from scripts.operate.sql_files import files_below, object_files

WEB = ROOT / "api" / "web"
MODULES = files_below(WEB, "*.js", at_least=8)
PAGES = files_below(WEB, "*.html", at_least=4)
RECIPES = ROOT / "docs" / "recipes.md"
SCRIPT = ROOT / "scripts" / "develop" / "screens.py"


def test_all_modules_together_stay_under_40_kb() -> None:
    assert sum(module.stat().st_size for module in MODULES) < 40_000


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_module_makes_markup_of_strings_or_keeps_a_token(module: Path) -> None:
    source = module.read_text()
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in source
    assert "localStorage" not in source


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_page_has_anything_inline_or_from_elsewhere(page: Path) -> None:
    source = page.read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", source)
    assert not re.search(r"<script(?! type=\"module\" src=\"/ui/[\w-]+\.js\"></script>)", source)
    assert not re.search(r"(src|href)=\"(https?:)?//", source)


def test_every_word_that_the_modules_ask_for_is_in_the_table() -> None:
    table = json.loads((WEB / "texts.en.json").read_text())
    asked = re.compile(r'\bt\("([\w.]+)"|(?:button|link)\("\w+", "(\w+)"')
    keys = {a or b for module in MODULES for a, b in asked.findall(module.read_text())}
    assert len(keys) > 40
    counted = {key.removesuffix(".one").removesuffix(".other") for key in table}
    assert keys <= counted


def test_everything_that_a_host_page_sets_and_hears_is_documented() -> None:
    source = "".join(module.read_text() for module in MODULES)
    documented = set(re.findall(r"^\| `([\w-]+)`", RECIPES.read_text(), re.M))
    attributes = set(re.findall(r'\battribute\("([\w-]+)"', source))
    events = set(re.findall(r'(?:emit\(|"(?:cancel|finish)", )"([a-z-]+)"', source))
    assert len(attributes) >= 9
    assert len(events) >= 8
    assert attributes | events <= documented
    elements = re.findall(r'define\("([\w-]+)"', source)
    assert len(elements) >= 5
    for element in elements:
        assert f"`<{element}>`" in RECIPES.read_text()


def test_both_languages_have_the_same_words_with_the_same_names_in_them() -> None:
    english, german = (
        json.loads((WEB / f"texts.{language}.json").read_text()) for language in ("en", "de")
    )
    assert list(english) == list(german)
    for key, text in german.items():
        assert text, key
        # Where English is empty, the API's own sentence is shown.
        if english[key]:
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", english[key])), key


def test_what_the_api_says_is_known_by_its_own_words() -> None:
    said = "\n".join(file.read_text().replace("''", "'") for file in object_files())
    table = json.loads((WEB / "texts.de.json").read_text())
    sentences = [key for key in table if " " in key]
    assert len(sentences) > 5
    for sentence in sentences:
        for part in re.split(r"(?<=\.) ", sentence):
            assert part in said, part


def test_every_picture_is_shown_and_all_of_them_are_small() -> None:
    shown = set(re.findall(r"\]\(screens/([\w-]+)\.webp\)", (ROOT / "docs/screens.md").read_text()))
    taken = set(re.findall(r'"([\w-]+)"[^()]*\)$', SCRIPT.read_text(), re.M)) & shown
    pictures = files_below(ROOT / "docs" / "screens", "*", at_least=15)
    assert shown == taken == {picture.stem for picture in pictures}
    assert sum(picture.stat().st_size for picture in pictures) < 1_500_000
