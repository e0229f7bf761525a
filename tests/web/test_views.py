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
    "run": ".metrics .spark",
    "run-charts": ".plot canvas",
    "artifacts": ".file td",
    "hostile": ".metrics",
    "compare": ".compare-table td",
    "groups": ".groups tbody tr",
    "models": ".model-table td",
    "model": ".lineage a",
    "mesh": ".card",
}
SCREENS = {"light": ("light", 1280, 800), "dark": ("dark", 1280, 800), "phone": ("light", 390, 844)}


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
