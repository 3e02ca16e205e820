"""The dashboard in a real browser: from the log-in to a running server and its console, with screenshots."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.cloud import RealCloud

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1200,850",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SHOTS = Path(os.environ.get("PILEUS_SCREENSHOTS", tempfile.gettempdir())) / "pileus-screenshots"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium with a profile of its own."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("Chromium is not installed (apt-get install chromium chromium-driver)")
    profile = tempfile.mkdtemp(prefix="pileus-chromium-")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


def shoot(browser: webdriver.Chrome, name: str) -> bytes:
    SHOTS.mkdir(exist_ok=True)
    browser.save_screenshot(str(SHOTS / f"{name}.png"))
    return (SHOTS / f"{name}.png").read_bytes()


def patience(browser: webdriver.Chrome, seconds: float) -> WebDriverWait[webdriver.Chrome]:
    """Wait while the page is being left or renewed: an element may go between being found and being asked.

    Chromium has many names for that, "unknown error" among them; whatever it says, it is asked again.
    """
    return WebDriverWait(browser, seconds, ignored_exceptions=(WebDriverException,))


def press_enter(browser: webdriver.Chrome, *where: str) -> None:
    """Press Enter on an element, found anew when the live part of the page has just been renewed."""

    def press(b: webdriver.Chrome) -> bool:
        b.find_element(*where).send_keys(Keys.ENTER)
        return True

    patience(browser, 20).until(press)


def heading(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "h1").text


def test_from_log_in_to_a_running_server_without_a_mouse(cloud: RealCloud, browser: webdriver.Chrome):
    told = cloud.exports("demo")
    browser.get(f"http://127.0.0.1:{cloud.port}/dashboard")
    user = browser.switch_to.active_element
    user.send_keys("demo", Keys.TAB, "wrong", Keys.ENTER)
    patience(browser, 20).until(lambda b: b.find_elements(By.CLASS_NAME, "failed"))
    browser.switch_to.active_element.send_keys(Keys.TAB, told["OS_PASSWORD"], Keys.ENTER)
    patience(browser, 20).until(lambda b: heading(b) == "demo")
    assert len(browser.find_elements(By.TAG_NAME, "meter")) >= 6
    shoot(browser, "overview")

    press_enter(browser, By.LINK_TEXT, "Launch a server")
    patience(browser, 20).until(lambda b: heading(b) == "Launch a server")
    browser.switch_to.active_element.send_keys("from-page")
    Select(browser.find_element(By.NAME, "flavor")).select_by_visible_text("pileus.mini: 1 vCPU, 256 MiB, 1 GiB")
    shoot(browser, "launch")
    browser.find_element(By.NAME, "user_data").send_keys(Keys.TAB, Keys.ENTER)
    patience(browser, 20).until(lambda b: heading(b) == "Servers")

    def state(b: webdriver.Chrome) -> str:
        rows = [row.text for row in b.find_elements(By.CSS_SELECTOR, "tbody tr")]
        return next((row for row in rows if "from-page" in row), "")

    # Nobody reloads the page: server-sent events bring the change.
    patience(browser, 120).until(lambda b: "ACTIVE" in state(b))
    shoot(browser, "servers")
    press_enter(browser, By.LINK_TEXT, "from-page")
    patience(browser, 20).until(lambda b: heading(b) == "from-page")
    shoot(browser, "server")


def test_the_log_and_the_console_show_the_guest(cloud: RealCloud, browser: webdriver.Chrome):
    server = browser.current_url
    deadline = time.monotonic() + 90
    while True:
        browser.get(f"{server}/part/log")
        if "login:" in browser.find_element(By.ID, "log").text:
            break
        assert time.monotonic() < deadline, "the log never showed a login prompt"
        time.sleep(1)
    shoot(browser, "log")
    browser.get(f"{server}/part/console")
    frame = browser.find_element(By.CLASS_NAME, "console")
    browser.switch_to.frame(frame)
    patience(browser, 40).until(lambda b: b.find_elements(By.TAG_NAME, "canvas"))
    script = """
        const canvas = document.querySelector('canvas'), pixels = canvas.getContext('2d')
            .getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(new Uint32Array(pixels.buffer)).size;
    """
    patience(browser, 40).until(lambda b: b.execute_script(script) > 1)
    browser.switch_to.default_content()
    shoot(browser, "console")


def test_stop_and_delete_from_the_page(cloud: RealCloud, browser: webdriver.Chrome):
    browser.get(f"http://127.0.0.1:{cloud.port}/dashboard/servers")
    press_enter(browser, By.XPATH, "//tr[contains(., 'from-page')]//button[text()='Stop']")

    def text(b: webdriver.Chrome) -> str:
        return b.find_element(By.TAG_NAME, "main").text

    assert patience(browser, 120).until(lambda b: "SHUTOFF" in text(b))
    press_enter(browser, By.XPATH, "//tr[contains(., 'from-page')]//summary[text()='Delete']")
    press_enter(browser, By.XPATH, "//tr[contains(., 'from-page')]//button[text()='Yes, delete']")

    def is_gone(b: webdriver.Chrome) -> bool:
        rows = [row.text for row in b.find_elements(By.CSS_SELECTOR, "tbody tr")]
        return heading(b) == "Servers" and not any("from-page" in row for row in rows)

    assert patience(browser, 60).until(is_gone)
