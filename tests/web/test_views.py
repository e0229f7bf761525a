"""Every view, in both themes and on a narrow screen: it shows, it is accessible, and it is drawn for people to look at."""

import pytest

VIEWS = {
    "runs": lambda logged: logged.hash("fraud"),
    "all": lambda logged: "/experiments",
    "empty": lambda logged: logged.hash("empty"),
    "charts": lambda logged: f"{logged.hash('fraud')}?view=charts",
    "run": lambda logged: logged.hash("fraud", "trial 3"),
    "run-charts": lambda logged: f"{logged.hash('fraud', 'trial 3')}?tab=charts",
    "artifacts": lambda logged: f"{logged.hash('fraud', 'trial 3')}?tab=artifacts&file=tables%2Fhistory.csv",
    "hostile": lambda logged: logged.hash("hostile", "hostile"),
    "compare": lambda logged: "/compare?" + "&".join(f"run={logged.runs[f'trial {at}']}" for at in range(4)),
    "groups": lambda logged: f"{logged.hash('fraud')}?group=params.model",
    "models": lambda logged: "/models",
    "model": lambda logged: "/models/detector",
    "mesh": lambda logged: "/mesh",
}
# What says that a view has all it shows.
SHOWN = {
    "runs": ".grid-row .status",
    "all": ".grid-row .status",
    "empty": ".empty",
    "charts": ".plot canvas",
    "run": ".metrics .strong",
    "run-charts": ".plot canvas",
    "artifacts": ".file td",
    "hostile": ".metrics",
    "compare": ".compare-table td",
    "groups": ".groups tbody tr",
    "models": ".model-table td",
    "model": ".lineage a",
    "mesh": ".card",
}
SCREENS = {
    "light": ("light", 1280, 800),
    "dark": ("dark", 1280, 800),
    "phone": ("light", 390, 844),
    "phone-dark": ("dark", 390, 844),
}


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_shows_and_is_accessible(open_browser, logged, shots, view, screen):
    scheme, width, height = SCREENS[screen]
    browser = open_browser(scheme=scheme, width=width, height=height)
    page = browser.open(VIEWS[view](logged))
    page.wait_for_selector(SHOWN[view])
    page.screenshot(path=shots / f"{view}-{screen}.png")
    assert browser.axe() == []
    sideways = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert sideways <= 0, f"the page is {sideways} pixels wider than the screen"


def test_the_theme_can_be_chosen_and_stays(browser):
    page = browser.open("/experiments")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_label("Theme: system").click()
    page.get_by_label("Theme: light").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    page.wait_for_selector("main h1")
    assert page.evaluate(background) == dark


# Where what is written in each of some elements starts or ends, in pixels from the left.
EDGES = """([all, edge]) => [...document.querySelectorAll(all)].map((one) => {
  const range = document.createRange();
  range.selectNodeContents(one);
  return range.getBoundingClientRect()[edge];
})"""


def test_what_belongs_together_stands_in_line(browser, logged):
    page = browser.open(VIEWS["compare"](logged))
    page.wait_for_selector(SHOWN["compare"])
    numbers = page.evaluate(EDGES, [".compare-table tr:has(bdi[title=accuracy]) td", "left"])
    params = page.evaluate(EDGES, [".compare-table tr:has(bdi[title=lr]) td", "left"])
    assert numbers == params and len(numbers) == 4, "each below the head of its run"

    page.goto(f"{logged.url}/#{VIEWS['groups'](logged)}")
    page.wait_for_selector(SHOWN["groups"])
    names = page.evaluate(EDGES, [".groups tr > th:first-child", "left"])
    assert len(set(map(round, names))) == 1 and round(names[0]) == round(page.evaluate(EDGES, ["h1", "left"])[0])

    page.goto(f"{logged.url}/#/mesh")
    page.wait_for_selector(".peer strong >> text=recovery")
    assert len(set(map(round, page.evaluate(EDGES, [".peer-name strong", "left"])))) == 1, "members and tickets"


def test_a_phone_shows_all_numbers_of_a_metric_and_charts_as_wide_as_the_rest(open_browser, logged):
    page = open_browser(width=390, height=844).open(VIEWS["run"](logged))
    page.wait_for_selector(SHOWN["run"])
    assert page.evaluate("(() => { const box = document.querySelector('.metrics').parentElement; return box.scrollWidth - box.clientWidth; })()") <= 0
    page.goto(f"{logged.url}/#{VIEWS['charts'](logged)}")
    page.wait_for_selector(SHOWN["charts"])
    left = "(of) => document.querySelector(of).getBoundingClientRect().left"
    assert page.evaluate(left, ".curve-settings") == page.evaluate(left, "#filter")
