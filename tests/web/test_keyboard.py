"""The page without a mouse."""

from devices import until


def test_a_run_is_found_opened_and_left_by_keys_alone(browser, logged):
    page = browser.open("/experiments")
    page.wait_for_selector(".grid-row .status")
    page.keyboard.press("Control+k")
    page.keyboard.type("fraud")
    page.get_by_role("option", name="fraud experiment").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_selector("h1 >> text=fraud")
    page.wait_for_selector(".grid-row .status")

    for key in "jjjjk":
        page.keyboard.press(key)
    page.wait_for_selector("#row-2.active")
    name = page.locator("#row-2 .name a").inner_text()
    page.keyboard.press("x")
    page.wait_for_selector("#row-2.chosen")
    page.keyboard.press("End")
    page.wait_for_selector("#row-30.active")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".run-page")
    assert page.locator("h1").inner_text() == name

    page.keyboard.press("g")
    page.keyboard.press("m")
    page.wait_for_selector("h1 >> text=Mesh")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_the_focus_is_seen_and_goes_in_order(browser, logged):
    page = browser.open(logged.hash("fraud"))
    page.wait_for_selector(".grid-row .status")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"


def tab_to(page, name: str) -> None:
    """Goes on by Tab until something of this name has the focus."""
    named = "() => { const now = document.activeElement; return (now.getAttribute('aria-label') ?? now.innerText ?? '').trim(); }"
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(named) == name:
            return
    raise AssertionError(f"80 times Tab do not lead to {name!r}")


def has_focus(page, name: str) -> bool:
    return page.evaluate("name => (document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText ?? '').trim() === name", name)


def test_a_version_is_promoted_by_keys_alone_and_the_focus_comes_back(browser, logged):
    logged.client.create_registered_model("by keys")
    logged.client.create_model_version("by keys", "s3://bucket/net")
    page = browser.open("/models/by%20keys")
    page.wait_for_selector(".version")
    tab_to(page, "Promote")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    tab_to(page, "Cancel")
    page.keyboard.press("Enter")
    dialog.wait_for(state="detached")
    until(lambda: has_focus(page, "Promote"), "what opened the dialog has the focus again")

    tab_to(page, "Version 1")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=menuitem]:focus")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    dialog.wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    until(lambda: has_focus(page, "Version 1"), "the button of the menu has the focus again")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=menuitem]:focus")
    page.keyboard.press("Enter")
    dialog.wait_for()
    page.keyboard.press("Enter")
    page.locator(".version .badge", has_text="production").wait_for()
    assert logged.client.get_model_version("by keys", "1").current_stage == "Production"


def test_what_is_typed_before_the_palette_is_there_is_not_lost(browser, logged):
    held = []
    browser.page.route("**/palette.js", lambda route: held.append(route))
    page = browser.open("/models")
    page.keyboard.press("Control+k")
    page.keyboard.type("fraudx")
    page.keyboard.press("Backspace")
    # Asking the page is what lets the route be heard of.
    until(lambda: page.evaluate("1") and held, "the palette is asked for")
    held[0].continue_()
    page.get_by_role("combobox", name="Go to").wait_for()
    assert page.get_by_role("combobox", name="Go to").input_value() == "fraud"
    page.keyboard.press("Enter")
    page.wait_for_selector("h1 >> text=fraud")


def test_the_palette_gives_the_focus_back(browser, logged):
    page = browser.open(logged.hash("fraud"))
    page.wait_for_selector(".grid-row .status")
    page.keyboard.press("/")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Go to").wait_for()
    page.keyboard.press("Escape")
    until(lambda: page.evaluate("document.activeElement.id") == "filter", "the filter has the focus again")


# What has the focus: its name, whether it can be seen, and where it stands in the document.
STOP = """() => {
  const now = document.activeElement;
  const { width, height, top } = now.getBoundingClientRect();
  const { outlineStyle, outlineWidth } = getComputedStyle(now);
  const name = (now.getAttribute("aria-label") ?? now.labels?.[0]?.innerText ?? now.innerText ?? "").trim();
  const seen = outlineStyle === "solid" && parseFloat(outlineWidth) > 1 && width > 8 && height > 8 && top < innerHeight;
  return { name, seen, top, at: [...document.querySelectorAll("*")].indexOf(now), end: now === document.body };
}"""


def test_every_stop_of_the_focus_has_a_name_and_is_seen_in_every_view(browser, logged):
    run = logged.hash("fraud", "trial 2")
    for view in [logged.hash("fraud"), f"{logged.hash('fraud')}?view=charts", run, "/models", "/models/detector", "/mesh"]:
        page = browser.open(view)
        # So that Tab begins at the start, and not where it was in the view before.
        page.reload()
        page.wait_for_selector("main h1, main .grid-row .status")
        stops = []
        for _ in range(200):
            page.keyboard.press("Tab")
            stop = page.evaluate(STOP)
            if stop["end"] or (stops and stop["at"] < stops[-1]["at"]):
                break
            stops.append(stop)
            assert stop["name"] and stop["seen"], f"{view}: {stop}"
        assert len(stops) > 10 and stops[0]["name"] == "Skip to the content", view
