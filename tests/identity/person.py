# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Somebody at the portal in Chromium: person.py CHROMIUM PORTAL ADDRESS NAME FILE.

Signs in at the provider's own pages, looks at every page of the menu, saves the settings that the
page Connect offers into FILE, and copies the one line where there is one. Says AT_PROVIDER when the
provider asks who it is, and goes on with the next line of its input, or without one at its end.
Prints, as JSON, the status and what the browser complained of on each page, and the line.
Certificates are not this program's matter: the portal's name may be made up, and resolves to
ADDRESS.
"""

from __future__ import annotations

import json
import sys
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import sync_playwright

SECONDS = 30
AT_PROVIDER = "at the provider"


def sign_in(page, portal, name):
    """Follow the portal's button, and fill in what the provider asks for."""
    page.locator("main").get_by_role("link").or_(
        page.locator("main").get_by_role("button")
    ).first.click()
    for _step in range(6):
        page.wait_for_load_state()
        if urlsplit(page.url).netloc == urlsplit(portal).netloc:
            return
        if page.locator("input[name=login]").count():
            print(AT_PROVIDER, flush=True)
            sys.stdin.readline()
            page.fill("input[name=login]", name)
            page.fill("input[name=password]", "any")
        page.locator("button[type=submit]").first.click()
    raise SystemExit(f"still at the provider: {page.url}")


def visit(page, portal, seen):
    """Open every page of the menu."""
    menu = [link.get_attribute("href") for link in page.locator("nav a").all()]
    for path in menu:
        answer = page.goto(urljoin(portal, path))
        seen[path.rpartition("/")[2]] = answer.status


def one_line(page):
    """Have the line that installs everything shown, and return it."""
    button = page.get_by_role("button", name="Make the line")
    if not button.count():
        return ""
    button.click()
    return page.get_by_role("status").locator("xpath=following-sibling::pre[1]").inner_text()


def main():
    """Do it all in one browser."""
    chromium, portal, address, name, file = sys.argv[1:]
    rules = f"MAP {urlsplit(portal).hostname} {address}"
    arguments = ["--no-sandbox", f"--host-resolver-rules={rules}", "--no-proxy-server"]
    seen, complaints, line = {}, [], ""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_context(ignore_https_errors=True, accept_downloads=True).new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(portal)
        sign_in(page, portal, name)
        page.on("console", lambda said: complaints.append(f"{page.url}: {said.text}"))
        visit(page, portal, seen)
        if "connect" in seen:
            page.goto(urljoin(portal, "/portal/connect"))
            with page.expect_download() as download:
                page.get_by_role("button", name="Download").click()
            download.value.save_as(file)
            line = one_line(page)
        said = {"seen": seen, "complaints": complaints, "url": page.url, "line": line}
        print(json.dumps(said))
        browser.close()


main()
