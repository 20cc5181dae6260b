"""The HTML page: self-contained, escaped, sortable; its behaviour is tried in headless Chromium where there is one."""

import base64
import hashlib
import json
import re
import shutil

import pytest

from bench import report
from bench.plan import matrix
from bench.report import web_page
from bench.results import record
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "ci")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# What a reader expects of a click on "figure", upwards: figures by their value, then words, what is missing last.
UPWARDS = ["-5.4 (no distillation)", "0.32", "12.3 ± 0.4", "96", "1,024.0", "1.2 k", "45 M", "3.4 G", "not run", "–"]
DOWNWARDS = [*reversed(UPWARDS[:-2]), *UPWARDS[-2:]]
SHUFFLED = ["96", "–", "3.4 G", "0.32", "not run", "1.2 k", "-5.4 (no distillation)", "45 M", "12.3 ± 0.4", "1,024.0"]


def markdown():
    lines = "\n".join(f"| row {index} | **{text}** |" for index, text in enumerate(SHUFFLED))
    groups = "|  | a |\n|:--|--:|\n| **group** |  |\n| x | 2 |\n| y | 1 |"
    return f"# A title\n\n## A table\n\n| name | figure |\n|:--|--:|\n{lines}\n\n## Groups\n\n{groups}\n"


HOSTILE = """# <script>alert(1)</script>

<script>alert(2)</script>

<details><summary>Cost</summary>

| a | b |
|:--|--:|
| <img src=x onerror=alert(3)> | <b>1</b> |

</details>

<details open onclick="alert(4)"><summary>x</summary>

![words](https://example.org/beacon.png) ![up](../secret.png) [link](javascript:alert(5))

<picture>
  <source media="(prefers-color-scheme: dark)" srcset="other-dark.svg">
  <img alt="x" src="other.svg">
</picture>
"""


def test_what_the_report_did_not_write_itself_is_text(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    body = web_page.page(HOSTILE, tmp_path / "folder", []).split("<body>")[1].split("</main>")[0]
    assert not re.search(r"<(script|img|b|source|picture)\b", body) and not re.search(r"<details [^>]", body)
    assert not re.search(r'href="(?!#section)', body) and "base64" not in body
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in body and "&lt;img src=x onerror=alert(3)&gt;" in body
    assert body.count("<details>") == body.count("</details>") == 1 and "<summary>Cost</summary>" in body


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for case in CASES:
        record.write(made(case), folder)
    return report.write(folder, CASES, "ci", also=["html"])[1]


def test_pictures_stand_in_the_page_and_its_policy_allows_its_own_script_alone(whole):
    text = whole.read_text()
    for name in ("accuracy", "accuracy-dark", "curves", "curves-dark", "in-batch", "in-batch-dark"):
        assert base64.b64encode((whole.parent / f"{name}.svg").read_bytes()).decode() in text
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert f"script-src 'sha256-{digest}'" in policy and policy.startswith("default-src 'none'")
    assert not re.search(r'(?:src|srcset|href)="(?!data:|#)', text)
    assert text.count("<table>") == text.count("</table>") > 10


def test_a_picture_of_a_case_is_shown_from_its_file(tmp_path):
    (tmp_path / "explain").mkdir()
    (tmp_path / "explain" / "a.png").write_bytes(b"pixels")
    text = web_page.page("![What it sees](explain/a.png)\n", tmp_path, ["explain/a.png"])
    assert f'<img alt="What it sees" src="data:image/png;base64,{base64.b64encode(b"pixels").decode()}">' in text


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@pytest.fixture
def small(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(web_page.page(markdown(), tmp_path, []), encoding="utf-8")
    browser.get(path.as_uri())
    return browser


def column(browser, number):
    script = f"return [...document.querySelectorAll('table')[0].tBodies[0].rows].map(r => r.cells[{number}].innerText)"
    return browser.execute_script(script)


def headers(browser):
    return browser.find_elements("css selector", "table:first-of-type th")[:2]


def test_a_click_sorts_by_value_upwards_and_another_downwards(small):
    name, figure = headers(small)
    assert column(small, 1) == SHUFFLED
    figure.find_element("tag name", "button").click()
    assert column(small, 1) == UPWARDS and figure.get_attribute("aria-sort") == "ascending"
    assert column(small, 0)[0] == f"row {SHUFFLED.index(UPWARDS[0])}"  # rows move as a whole
    figure.find_element("tag name", "button").click()
    assert column(small, 1) == DOWNWARDS and figure.get_attribute("aria-sort") == "descending"
    name.find_element("tag name", "button").click()
    assert column(small, 0) == [f"row {index}" for index in range(10)] and column(small, 1) == SHUFFLED
    assert figure.get_attribute("aria-sort") is None and name.get_attribute("aria-sort") == "ascending"


def test_the_keyboard_sorts_too(small):
    from selenium.webdriver.common.keys import Keys

    button = headers(small)[1].find_element("tag name", "button")
    small.execute_script("arguments[0].focus()", button)
    for key, expected in ((Keys.ENTER, UPWARDS), (Keys.SPACE, DOWNWARDS)):
        small.switch_to.active_element.send_keys(key)
        assert column(small, 1) == expected


def test_a_table_of_groups_is_left_as_it_is(small):
    tables = small.find_elements("tag name", "table")
    assert [len(table.find_elements("tag name", "button")) for table in tables] == [2, 0]


def test_no_request_leaves_the_page_and_nothing_goes_wrong(browser, whole):
    browser.get_log("performance"), browser.get_log("browser")
    browser.get(whole.as_uri())
    for fold in browser.find_elements("tag name", "summary"):
        fold.click()
    buttons = browser.find_elements("css selector", "th button")
    assert len(buttons) > 30
    for button in buttons[:20]:
        button.click()
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"}
    assert whole.as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {whole.as_uri()}
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 3 and all(widths)


def test_the_policy_stops_a_request_that_content_would_make(browser, whole):
    browser.get(whole.as_uri())
    browser.get_log("browser")
    browser.execute_async_script(
        "const [done] = arguments; const image = new Image(); image.onerror = () => done(); "
        "image.src = 'https://example.org/beacon.png'; document.body.append(image)"
    )
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_dark_mode_switches_page_and_plots(browser, whole):
    looks = {}
    for look in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": look}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(whole.as_uri())
        background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        looks[look] = background, browser.execute_script("return [...document.images].map(image => image.currentSrc)")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert (looks["light"][0], looks["dark"][0]) == ("rgb(255, 255, 255)", "rgb(13, 17, 23)")
    for suffix, look in (("", "light"), ("-dark", "dark")):
        for name, source in zip(("accuracy", "curves", "in-batch"), looks[look][1], strict=True):
            shown = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,"))
            assert shown == (whole.parent / f"{name}{suffix}.svg").read_bytes()
