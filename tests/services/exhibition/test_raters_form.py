"""The form that asks people, in a browser: what is clicked and written is what it saves; nothing is sent."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.record.raters import read_answers
from services.exhibition.raters_form import raters_form
from tests.support.browser import HOW_TO_GET, complaints, find_browser, requests, resize, running_browser

TEST = "ab12cd34ef56"

pytestmark = pytest.mark.skipif(find_browser() is None, reason=HOW_TO_GET)


def test_a_rater_answers_three_pictures_and_saves_them(tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    rng = np.random.default_rng(7)
    page = tmp_path / "form.html"
    pictures = [rng.integers(0, 255, (200, 200, 3), dtype=np.uint8) for _ in range(3)]
    page.write_bytes(raters_form(TEST, pictures))
    with running_browser(tmp_path / "profile") as driver:
        resize(driver, 900, 1400)
        driver.get(page.as_uri())
        requests(driver)

        def find(name):
            return driver.find_element("id", name)

        find("rater").send_keys("</script>, 7")
        find("name").submit()
        picture, keys = find("picture"), ActionChains(driver)
        # The first by the mouse: a face whose eyes are clicked on, one of them taken back.
        find("yes").click()
        size = picture.size["width"]
        for x, y in ((0.25, 0.4), (0.9, 0.9)):
            mouse = ActionChains(driver)
            mouse.move_to_element_with_offset(picture, (x - 0.5) * size, (y - 0.5) * size).click().perform()
        find("undo").click()
        mouse = ActionChains(driver)
        mouse.move_to_element_with_offset(picture, 0.2 * size, -0.1 * size).click().perform()
        find("next").click()
        # The second by the keyboard: cells, wrong ones first.
        keys.send_keys("f").perform()
        find("cells").send_keys("Z9", Keys.ENTER)
        assert "Expected" in find("wrong").text
        find("cells").clear()
        find("cells").send_keys("h8 m8", Keys.ENTER)
        # The third is none; then back and again.
        ActionChains(driver).send_keys("n").perform()
        assert not find("end").get_attribute("hidden")
        for kind, ending in (("asCsv", "csv"), ("asJson", "json")):
            text = driver.execute_script(f"return window.raters.{kind}()")
            (tmp_path / f"a.{ending}").write_text(text)
        assert [url for url in requests(driver) if not url.startswith(("file:", "data:", "blob:"))] == []
        assert complaints(driver) == []
        driver.execute_script("window.onbeforeunload = null; document.getElementById('csv').click()")
    told = read_answers(tmp_path / "a.csv")
    assert told.rater == "</script>, 7"
    assert told.test == TEST
    assert sorted(told.face) == [1, 2, 3]
    assert sorted(told.face.values()) == [False, True, True]
    places = [eyes for _, eyes in sorted(told.eyes.items()) if eyes]
    assert ((0.375, 0.375), (0.625, 0.375)) in places
    clicked = next(eyes for eyes in places if eyes[0][0] < 0.3)
    np.testing.assert_allclose(clicked, [(0.25, 0.4), (0.7, 0.4)], atol=0.011)
    again = read_answers(tmp_path / "a.json")
    assert (again.face, again.eyes, again.rater) == (told.face, told.eyes, told.rater)
