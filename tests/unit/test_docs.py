# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The documentation: its links, its words, its two languages, its pictures."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"en": "README.md", "zh-CN": "README.zh-CN.md"}
PAGES = sorted(path.name for path in (ROOT / "docs/en").glob("*.md"))
PICTURES = sorted((ROOT / "docs/pictures").glob("*.png"))
PICTURE_LIMIT_BYTES = 100_000
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
# What users meet elsewhere and follow: messages, comments, the roles' READMEs.
POINTER = re.compile(r"docs/[\w-]+/[\w.-]+\.(?:md|png)")
# Words of this project where the field has its own; what to say instead.
OWN_WORDS = {
    r"doors?": "entry point, listener",
    r"seeks?|looks? away": "inspect, plan",
    r"settles?|settled": "resolve, define",
    r"(?<!--)forgets?|forgotten": "deregister, remove",
    r"strangers?": "unauthenticated, other networks",
    r"doubts?|doubted": "health probe",
    r"pours?": "copy, stream",
    r"made up": "generated",
    r"mends?|mended": "repair, fix",
    r"treatments?": "fix",
    r"leads? to|led to": "forward to, primary",
    r"artefacts?": "artifact",
    r"nothing to be had": "rejected",
    r"judges?|judged": "check, evaluate",
    r"ill": "unhealthy",
    r"surveys?|surveyed": "discovery, listing",
    r"vantages?": "client",
    r"outlets?": "response writer",
    r"anew": "again, recreate",
    r"bad answers?": "failed checks",
    r"unless said": "by default",
}
# A name in a changelog's note: whoever used it has to find it there.
OLD_NAME = re.compile(r"``[^`]*``")
POINTING = ("*.md", "inventories/**/*.yml", "playbooks/**/*", "plugins/**/*.py", "roles/**/*")


def documents():
    """Return every page that people read, but for templates and what others wrote."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/**/README.md")]
    return sorted([*found, ROOT / "tests/README.md"])


def prose(text):
    """A page without its blocks of code."""
    return FENCE.sub("", text)


def anchors(text):
    """The anchors of a page's headings, as hosts of repositories derive them."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken_links(page):
    """Yield the links of a page that lead nowhere in this repository."""
    for link in LINK.findall(prose(page.read_text())):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            yield link


@pytest.mark.parametrize("page", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    assert not list(broken_links(page))


def test_files_that_send_readers_to_a_page_name_one_that_exists():
    texts = [path for pattern in POINTING for path in ROOT.glob(pattern) if path.is_file()]
    named = {
        pointer for path in texts for pointer in POINTER.findall(path.read_text(errors="ignore"))
    }
    assert named
    assert not [pointer for pointer in named if not (ROOT / pointer).is_file()]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_readme_links_every_page_of_its_language(language):
    folder = ROOT / "docs" / language
    linked = LINK.findall((ROOT / LANGUAGES[language]).read_text())
    pages = {f"docs/{language}/{path.name}" for path in folder.glob("*.md")}
    assert pages <= {link.partition("#")[0] for link in linked}
    other = next(name for name in LANGUAGES if name != language)
    assert not [link for link in linked if link.startswith(f"docs/{other}/")]


def in_both_languages(name):
    """The two texts of a page, or of the README."""
    if name == "README.md":
        return [(ROOT / readme).read_text() for readme in LANGUAGES.values()]
    return [(ROOT / "docs" / language / name).read_text() for language in LANGUAGES]


def code_of(text):
    """Everything a reader may copy, comments left out: blocks of code, and code in sentences."""
    blocks = []
    for language, block in FENCE.findall(text):
        if language == "yaml":
            blocks.append(yaml.safe_load(block))
        elif language == "console":
            blocks.append([re.sub(r" +# .*", "", line) for line in block.splitlines()])
    return blocks, sorted(set(re.findall(r"`[^`\n]+`", prose(text))))


def test_the_documentation_uses_the_fields_words():
    pages = [page for page in documents() if page.parents[1].name != "roles"]  # those are generated
    fragments = ROOT.glob("changelogs/fragments/*")
    inventories = [p for p in ROOT.glob("inventories/**/*.yml") if ".intranet-mcp" not in p.parts]
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}: {instead}"
        for path in [*pages, *fragments, *inventories, ROOT / "Makefile"]
        for word, instead in OWN_WORDS.items()
        for match in re.finditer(rf"\b(?:{word})\b", OLD_NAME.sub("", path.read_text()), re.I)
    ]
    assert not found


def names_of_tasks():
    """Yield where each play, block and task of the collection and of Molecule is, with its name."""
    for pattern in ("roles/*/tasks/*", "roles/*/handlers/*", "playbooks/*", "molecule/shared/**/*"):
        for path in ROOT.glob(f"{pattern}.yml"):
            for name in re.findall(r"^ *- name: (.+)$", path.read_text(), re.M):
                yield path.relative_to(ROOT), name


def descriptions(spec):
    """Yield every description in an argument spec, nested options included."""
    for key, value in spec.items() if isinstance(spec, dict) else ():
        if key in ("description", "short_description") and not isinstance(value, dict):
            yield from [value] if isinstance(value, str) else value
        else:
            yield from descriptions(value)


def messages():
    """Yield every sentence in plugins that is no docstring: messages and documentation blocks."""
    for path in ROOT.glob("plugins/**/*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            if is_documented and ast.get_docstring(node) is not None:
                node.body.pop(0)
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and " " in text:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def test_what_a_run_shows_uses_the_fields_words():
    """Names of tasks, options' descriptions, modules' documentation and messages."""
    specs = [
        (path.relative_to(ROOT), text)
        for path in ROOT.glob("roles/*/meta/argument_specs.yml")
        for text in descriptions(yaml.safe_load(path.read_text()))
    ]
    shown = [*names_of_tasks(), *specs, *messages()]
    assert len(shown) > 1000
    found = [
        f"{place}: {match[0]}: {instead}"
        for place, text in shown
        for word, instead in OWN_WORDS.items()
        for match in re.finditer(rf"\b(?:{word})\b", text, re.I)
    ]
    assert not found


def test_names_of_tasks_begin_with_what_they_do():
    """A verb and its object; these begin otherwise, or say nothing of what is done."""
    vague = re.compile(r"(?:Have|Know|Ask|Tell|Say|See|Prove|Judge|Lead|Make a place)\b|\S+$")
    assert not [f"{place}: {name}" for place, name in names_of_tasks() if vague.match(name)]


def test_both_languages_have_the_same_pages():
    assert PAGES
    assert [path.name for path in sorted((ROOT / "docs/zh-CN").glob("*.md"))] == PAGES


@pytest.mark.parametrize("name", ["README.md", *PAGES])
def test_both_languages_say_the_same(name):
    english, chinese = in_both_languages(name)
    assert code_of(english) == code_of(chinese)
    headings, rows = re.compile(r"^(#+) ", re.M), re.compile(r"^\|(.+)\|$", re.M)
    assert headings.findall(prose(english)) == headings.findall(prose(chinese))
    counts = [[row.count(" | ") for row in rows.findall(text)] for text in (english, chinese)]
    assert counts[0] == counts[1]
    figures = re.compile(r"\d+(?:[.,]\d+)+|\b\d{2,}\b")
    assert sorted(figures.findall(english)) == sorted(figures.findall(chinese))


@pytest.mark.parametrize("readme", LANGUAGES.values())
def test_both_readmes_show_the_pictures(readme):
    shown = {link for link in LINK.findall((ROOT / readme).read_text()) if link.endswith(".png")}
    assert shown == {str(path.relative_to(ROOT)) for path in PICTURES}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_pictures_are_small(picture):
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < PICTURE_LIMIT_BYTES


def test_two_files_answer_each_of_the_five_questions():
    """The README is the first of them; what it links says so itself."""
    section = (ROOT / "README.md").read_text().partition("## Five questions")[2]
    rows = re.findall(r"^\| (.+\?) \| (.+) \|$", section.partition("\n## ")[0], re.M)
    assert len(rows) == 5
    answers = {
        "roles/platform/defaults/main/main.yml": "platform_services:",
        "roles/gateway/defaults/main.yml": "gateway_service:",
        "roles/platform/vars/main/images.yml": "image_manifest:",
        "docs/en/verify.md": "| Intruders |",
        "CONTRIBUTING.md": "service",
    }
    linked = [set(LINK.findall(answer)) for _question, answer in rows]
    assert all(links & set(answers) for links in linked)
    assert set().union(*linked) >= set(answers)
    assert not [p for p, text in answers.items() if text not in (ROOT / p).read_text()]
