"""What the page fetches and asks for before it shows the first view: no more than that needs, once, and not one after the other."""

from urllib.parse import urlsplit

import pytest
from devices import REPOSITORY, until

WEB = REPOSITORY / "daemon" / "web"
# Every module of our own.
APP = {f"/ui/{path.relative_to(WEB).as_posix()}" for path in (WEB / "app").rglob("*.js")}
# Nothing is fetched for later while a browser is never idle.
NEVER_IDLE = "window.requestIdleCallback = () => 0"
FETCHED = "performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname).filter((path) => path.endsWith('.js'))"
NAMED = "[...document.querySelectorAll('link[rel=modulepreload]')].map((link) => new URL(link.href).pathname)"


class Asked:
    """What a page asks the native API for, in order."""

    def __init__(self, page) -> None:
        self.requests = []
        page.on("request", lambda request: "/api/v1/" in request.url and self.requests.append(request))

    def names(self) -> list[str]:
        return [urlsplit(request.url).path.rpartition("/api/v1/")[2] for request in self.requests]

    def before_events(self, name: str) -> int:
        """How often it was asked for until the page began to follow what changes."""
        names = self.names()
        return names[: names.index("events")].count(name) if "events" in names else names.count(name)


def open_held(browser, view: str, module: str, then) -> Asked:
    """Opens a view of which a module does not come until something holds."""
    page, held = browser.page, []
    asked = Asked(page)
    page.route(f"**/ui/app/{module}", lambda route: held.append(route))
    page.goto(f"{browser.url}/#{view}", wait_until="commit")
    until(lambda: (page.wait_for_timeout(10), held and then(asked))[1], "it is asked for before the page is there")
    for route in held:
        route.continue_()
    return asked


def test_the_page_names_exactly_the_modules_of_the_first_view(browser, logged):
    browser.page.add_init_script(NEVER_IDLE)
    page = browser.open(logged.hash("fraud"))
    page.wait_for_selector(".grid-row .status")
    fetched = page.evaluate(FETCHED)
    assert sorted(fetched) == sorted(page.evaluate(NAMED))
    assert len(fetched) == len(set(fetched)), "each once"


@pytest.mark.parametrize("view", ["", "/runs/{run}", "?view=charts", "/mesh", "/models", "/models/detector", "/compare?run={run}"])
def test_no_module_is_fetched_twice_and_all_are_there_in_the_end(browser, logged, view):
    view = view.format(run=logged.runs["trial 3"])
    address = f"{logged.hash('fraud')}{view}" if view[:1] in ("", "?") or view.startswith("/runs") else view
    page = browser.open(address)
    until(lambda: set(page.evaluate(FETCHED)) >= APP, "every module is there for when it is wanted")
    fetched = page.evaluate(FETCHED)
    assert sorted(fetched) == sorted(set(fetched)), "each once"
    assert set(page.evaluate(NAMED)) <= set(fetched)


def test_the_first_rows_are_asked_for_before_the_page_is_there(browser, logged):
    all_of_it = {"experiments", "runs/table"}
    asked = open_held(browser, logged.hash("fraud"), "pages/runs.js", lambda asked: all_of_it <= set(asked.names()))
    browser.page.wait_for_selector(".grid-row .status")
    until(lambda: (browser.page.wait_for_timeout(10), "events" in asked.names())[1], "the page follows what changes")
    for name in ["columns", "experiments", "peers", "runs/table"]:
        assert asked.before_events(name) == 1, asked.names()


def test_a_run_is_asked_for_before_the_page_is_there(browser, logged):
    run = logged.runs["trial 3"]
    asked = open_held(browser, logged.hash("fraud", "trial 3"), "parts/shell.js", lambda asked: f"runs/{run}" in asked.names())
    browser.page.wait_for_selector("main h1")
    assert asked.before_events(f"runs/{run}") == 1


@pytest.mark.parametrize("query", ["", "?col=params.lr&q=params.model = 'vit'&sort=-params.seed"])
def test_the_first_rows_are_one_request_and_wait_for_no_other(browser, logged, query):
    held = []
    for other in ["columns?*", "peers", "experiments"]:
        browser.page.route(f"**/api/v1/{other}", lambda route: held.append(route))
    page = browser.open(f"{logged.hash('fraud')}{query}")
    page.get_by_role("columnheader", name="lr").wait_for()
    page.wait_for_selector(".grid-row .name")
    page.get_by_label("Group by").wait_for(state="detached")
    for route in held:
        route.continue_()
    page.get_by_label("Group by").wait_for()


def test_a_column_that_is_new_shows_beside_those_that_the_daemon_chose(browser, logged):
    logged.experiment("growing")
    run = logged.run("growing", "one", lr=0.1)
    page = browser.open(logged.hash("growing"))
    page.get_by_role("columnheader", name="lr").wait_for()
    logged.client.log_metric(run, "zeal", 0.25)
    page.get_by_role("columnheader", name="zeal").wait_for()
    row = page.locator(".grid-row", has_text="one")
    until(lambda: row.locator(".grid-cell").all_inner_texts()[-2:] == ["0.25", "0.1"], "each value stands under its name")


@pytest.mark.parametrize("name", ["experiments", "runs/table"])
def test_what_failed_ahead_is_asked_again(browser, logged, name):
    browser.may_be_refused = True
    browser.page.route(f"**/api/v1/{name}", lambda route: route.abort(), times=1)
    page = browser.open(logged.hash("fraud"))
    page.wait_for_selector(".grid-row .status")
    page.get_by_role("link", name="fraud").wait_for()


def test_a_part_of_the_page_that_did_not_come_says_so_and_comes_later(browser, logged):
    browser.may_be_refused = True
    browser.page.route("**/ui/app/pages/mesh.js", lambda route: route.abort())
    page = browser.open(logged.hash("fraud"))
    page.get_by_role("link", name="Mesh", exact=True).click()
    page.wait_for_selector("text=This part of the page did not come")
    page.unroute("**/ui/app/pages/mesh.js")
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_selector(".grid-row .status")
    page.get_by_role("link", name="Mesh", exact=True).click()
    page.wait_for_selector(".peer, main h1")
    assert page.locator(".failure").count() == 0
