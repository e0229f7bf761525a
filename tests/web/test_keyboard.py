"""The page without a mouse."""


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
