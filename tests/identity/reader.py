# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Somebody without a mouse and without JavaScript at the portal: reader.py, with a task as JSON.

The task on standard input: `chromium`, the portal's address as `portal`, the `name` with which to
sign in, `pages` (paths), `code` (a terminal's), and the folder `pictures`. Signs in, opens each
page on a phone and on a desk, in light and English and in dark and Chinese, walks through it with
the Tab key, and sends each kind of form with Enter. Prints what was found as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

SECONDS = 30
WIDTHS = {"phone": 390, "desk": 1280}
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
# Each ground and each language once; what is long in one of them is so on either ground.
LOOKS = [("light", "en"), ("dark", "zh")]
MAX_STEPS = 400
# What is wider than the window although nothing scrolls it.
WIDE = """() => [...document.querySelectorAll("body *")].filter(e =>
  e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide, pre"))
  .map(e => `${e.tagName}.${e.className}`)"""
SCROLLS = "() => document.documentElement.scrollWidth > innerWidth"
# What can be used, in the order of the page; those that are focused tell which of them they are.
NUMBER = """() => {
  const found = [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
    .filter(e => e.checkVisibility());
  found.forEach((e, n) => e.dataset.number = n);
  return found.map(e => `${e.tagName} ${(e.textContent || e.name || "").trim().slice(0, 40)}`);
}"""
FOCUSED = """() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  return {number: e.dataset.number ?? null,
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    isSeen: box.width > 0 && box.right > 0 && box.left < innerWidth
      && box.bottom > 0 && box.top < innerHeight};
}"""


def context(browser, device, scheme, language, state=None):
    """A browser of its own, which runs no script of a page."""
    made = browser.new_context(
        viewport={"width": WIDTHS[device], "height": 900},
        color_scheme=scheme,
        locale=LANGUAGES[language],
        java_script_enabled=False,
        storage_state=state,
    )
    made.set_default_timeout(SECONDS * 1000)
    return made


def walk(page):
    """Press Tab until everything was focused; return what is wrong."""
    controls = page.evaluate(NUMBER)
    wrong = []
    for number, control in enumerate(controls):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if found["number"] != str(number):
            wrong.append(f"expected {control!r}, found number {found['number']}")
            break
        if not found["outline"] or not found["isSeen"]:
            wrong.append(f"{control!r} is focused and does not show it: {found}")
    return {"controls": controls, "wrong": wrong}


def reach(page, control):
    """Press Tab until a control has the focus; it says whether it does."""
    handle = control.element_handle()
    for _step in range(MAX_STEPS):
        if handle.evaluate("e => e === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise SystemExit(f"{page.url}: Tab never reached {control}")


def press(page, control):
    """Use a control as a keyboard does."""
    reach(page, control)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def sign_in(page, portal, name):
    """From the first page, through the provider's own, with Tab and Enter."""
    page.goto(f"{portal}/portal/")
    press(page, page.locator("main a.button"))
    for _step in range(6):
        if urlsplit(page.url).netloc == urlsplit(portal).netloc:
            return
        if page.locator("input[name=login]").count():
            page.fill("input[name=login]", name)
            page.fill("input[name=password]", "any")
        with page.expect_navigation():
            page.locator("button[type=submit]").first.press("Enter")
    raise SystemExit(f"still at the provider: {page.url}")


def send_forms(page, portal, code):
    """Send each kind of form; return what the pages say then."""
    said = {}
    page.goto(f"{portal}/portal/tools")
    reach(page, page.locator("#q"))
    page.keyboard.type("write")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    said["tools"] = page.locator("dl.tools dt").all_inner_texts()
    page.goto(f"{portal}/portal/connect")
    press(page, page.locator("form[action$='/key'] button"))
    said["key"] = page.locator("[role=status] + pre").inner_text()
    page.goto(f"{portal}/portal/device")
    reach(page, page.locator("#code"))
    page.keyboard.type(code)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    said["device"] = page.locator("h1").inner_text()
    press(page, page.locator("form[action$='/sign-out'] button"))
    said["signed out"] = page.locator("main a.button").count()
    return said


def main():
    """Do it all in one Chromium."""
    task = json.load(sys.stdin)
    portal, found = task["portal"], {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=task["chromium"], args=["--no-sandbox", "--no-proxy-server"]
        )
        first = context(browser, "phone", "light", "en")
        person = first.new_page()
        sign_in(person, portal, task["name"])
        state = first.storage_state()
        looks = [(device, *look) for device in WIDTHS for look in LOOKS]
        for look in looks:
            other = context(browser, *look, state)
            page = other.new_page()
            for path in task["pages"]:
                status = page.goto(portal + path).status
                told = {"status": status, "scrolls": page.evaluate(SCROLLS)}
                told["wide"] = page.evaluate(WIDE)
                name = path.removeprefix("/portal").strip("/").replace("/", "-") or "welcome"
                picture = Path(task["pictures"]) / f"portal-{name}-{'-'.join(look)}.png"
                page.screenshot(path=picture, full_page=True)
                if look[1:] == LOOKS[0]:
                    told |= walk(page)
                found[" ".join((path, *look))] = told
            other.close()
        forms = send_forms(person, portal, task["code"])
        print(json.dumps({"pages": found, "forms": forms}))
        browser.close()


main()
