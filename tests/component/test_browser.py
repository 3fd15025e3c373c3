# SPDX-License-Identifier: MIT
"""A run's page as a browser shows it: without scripts, light and dark, on paper."""

import re
import subprocess

import pytest
from PIL import Image

pytestmark = pytest.mark.needs("chromium", "git", "make", "cpio", "aarch64-linux-gnu-gcc")
# Nothing can be fetched.
SEALED = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"),
    "--enable-logging=stderr",
)
# What the browser's own logger calls a page's mistakes.
MISTAKE = re.compile(r":CONSOLE|Refused to|net::ERR")


@pytest.fixture
def browse(runs, tmp_path):
    """Open the page of the run that breaks something: what the browser printed."""
    page = runs[1] / "report.html"

    def call(*options):
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        done = subprocess.run(
            ["chromium", *SEALED, profile, *options, page.as_uri()],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not MISTAKE.search(done.stderr), done.stderr
        return done.stdout

    return call


def background(picture):
    """The lightness of a picture's most frequent colour, 0 to 255."""
    grey = Image.open(picture).convert("L")
    return max(range(256), key=grey.histogram().__getitem__)


def test_what_changed_comes_first_and_nothing_is_fetched(browse):
    seen = browse("--dump-dom")
    titles = [re.sub(r"<[^>]*>", "", title).strip() for title in re.findall(r"<h2.*?</h2>", seen)]
    assert titles[0] == "What changed"
    assert "<script" not in seen and "http://" not in seen
    links = set(re.findall(r'href="#([^"]+)"', seen))
    assert links and links <= set(re.findall(r'id="([^"]+)"', seen))


@pytest.mark.parametrize(("scheme", "light"), [("1", True), ("0", False)])
def test_it_is_as_light_or_dark_as_is_preferred(browse, tmp_path, scheme, light):
    picture = tmp_path / "page.png"
    settings = f"--blink-settings=preferredColorScheme={scheme}"
    browse(settings, "--window-size=1000,900", f"--screenshot={picture}")
    assert (background(picture) > 200) is light
    colours = Image.open(picture).convert("RGB").getcolors(1 << 24)
    red = [c for _, c in colours if c[0] > 150 and c[1] < 100 and c[2] < 110]
    assert red, "what is broken is red"


def test_it_can_be_printed(browse, tmp_path):
    paper = tmp_path / "page.pdf"
    browse("--no-pdf-header-footer", f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF-") and paper.stat().st_size > 10_000
