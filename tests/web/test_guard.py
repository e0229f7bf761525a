"""Who may do what, and what texts from others can do: nothing."""

import pytest
from wire import Wire

# Parts of a run's page, and what says that they are shown.
PLACES = {
    "": ".prose",
    "?tab=charts": "canvas",
    "?tab=artifacts&file=%3Cb%3E.txt": "pre.text",
    "?tab=artifacts&file=card.md": ".file .prose",
    "?tab=artifacts&file=picture.svg": ".picture",
}


@pytest.mark.parametrize(("place", "shown"), PLACES.items())
def test_no_name_of_a_run_becomes_anything_but_text(browser, logged, place, shown):
    page = browser.open(f"{logged.hash('hostile', 'hostile')}{place}")
    page.wait_for_selector(shown)
    assert page.locator("h1").inner_text().startswith("<img src=x")
    assert page.locator("main img:not(.picture), main script").count() == 0
    assert page.locator("main a[href^='javascript']").count() == 0


def test_no_name_in_a_list_becomes_anything_but_text(browser, logged):
    run = logged.runs["hostile"]
    for view in ["/experiments", logged.hash("hostile"), f"/compare?run={run}&run={logged.runs['trial 1']}"]:
        page = browser.open(view)
        page.wait_for_selector(".grid-row .status, .compare-table")
        assert page.locator("main img, main script").count() == 0
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Go to").fill("<img")
    page.get_by_role("option").first.wait_for()
    assert page.locator("[role=dialog] img").count() == 0


def test_the_browser_is_told_to_run_nothing_else(device):
    wire = Wire(device.url)
    policy = wire.send("GET", "/").headers["content-security-policy"]
    for part in ["default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"]:
        assert part in policy
    assert "unsafe" not in policy
    frame = wire.send("GET", "/ui/frame.html").headers["content-security-policy"]
    assert frame.startswith("sandbox allow-scripts; default-src 'none'") and "connect-src" not in frame
    for path in ["/ui/../Cargo.toml", "/ui/%2e%2e/Cargo.toml", "/ui/vendor/vendor.json", "/ui/", "/ui/index.html"]:
        assert wire.send("GET", path).status == 404, path


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "http://localhost:8888", "null"])
def test_another_page_writes_nothing(device, origin):
    wire = Wire(device.url)
    for path in ["experiments", "runs/update", "runs/table", "invite", "shutdown"]:
        answer = wire.send("POST", f"/api/v1/{path}", b"{}", {"Origin": origin, "Content-Type": "text/plain"})
        assert answer.status in (403, 409), (path, answer.status)
        assert "access-control-allow-origin" not in answer.headers


def test_inviting_demands_the_token_and_a_link_brings_it(open_browser, device, logged):
    browser = open_browser()
    browser.may_be_refused = True
    page = browser.open("/mesh?invite=1")
    page.get_by_role("button", name="Make a ticket").click()
    page.get_by_label("Token, or the whole link").fill("0" * 64)
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector("text=That was not the token")
    link = device.ask("ui")["link"]
    page.get_by_label("Token, or the whole link").fill(link)
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector(".qr")

    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("main h1")
    assert "token" not in page.url
    token = link.rpartition("=")[2]
    assert page.evaluate("sessionStorage.getItem('runmesh-token')") == token


def test_a_daemon_that_wants_the_token_shows_nothing_without(devices, open_browser):
    device = devices("locked")
    device.require_token = "true"
    device.up()
    browser = open_browser(device.url)
    browser.may_be_refused = True
    page = browser.page
    page.goto(device.url)
    page.get_by_label("Token, or the whole link").fill(device.ask("token")["token"])
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector(".empty")
