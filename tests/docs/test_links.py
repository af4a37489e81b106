"""Every relative link of README.md and docs/ leads somewhere, and every page is reachable from docs/README.md."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_ABROAD = re.compile(r"[a-z]+:")


@cache
def links(page: Path) -> tuple[tuple[Path, str], ...]:
    """The files and anchors to which a page leads inside the repository."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))
    found = []
    for target in _LINK.findall(text):
        if not _ABROAD.match(target):
            path, _, anchor = target.partition("#")
            found.append(((page.parent / path).resolve() if path else page, anchor))
    return tuple(found)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that a page's headings get: lower case, without punctuation, blanks as hyphens."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path):
    assert [str(path.relative_to(ROOT)) for path, _ in links(page) if not path.exists()] == []
    missing = [
        f"{path.name}#{anchor}"
        for path, anchor in links(page)
        if anchor and path.suffix == ".md" and anchor not in anchors(path)
    ]
    assert missing == []


def test_every_page_is_reachable_from_the_index():
    if not INDEX.exists():
        pytest.skip("docs/README.md is not written yet")
    seen, waiting = set[Path](), [INDEX]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.suffix == ".md" and page.exists() and DOCS in page.parents:
            seen.add(page)
            waiting += [path for path, _ in links(page)]
    assert sorted(str(page.relative_to(DOCS)) for page in set(DOCS.rglob("*.md")) - seen) == []


@pytest.mark.parametrize(
    ("heading", "anchor"), [("### GET /v1/sync-state", "get-v1sync-state"), ("## A `x_y`: 1, 2", "a-x_y-1-2")]
)
def test_anchors_are_made_as_the_forges_make_them(heading: str, anchor: str, tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{heading}\n")
    assert anchors(page) == {"title", anchor}
