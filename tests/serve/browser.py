"""A real browser, driven by its debugging protocol."""
import asyncio
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.request

import serving
from serving import eventually, need

# Nothing but the page: no trials by lot, no visits elsewhere, no pauses for what is not in front. What another site's page
# may ask of this machine is for the server to refuse, whatever the browser thinks of it.
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
         "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
         "--disable-field-trial-config", "--disable-features=LocalNetworkAccessChecks", "--disable-background-timer-throttling",
         "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding", "--disable-hang-monitor",
         "--password-store=basic", "--window-size=1000,1000", "--remote-debugging-port=0"]
# A browser's first start on a machine reads some hundred MB from the disk.
PATIENCE_S = 60
PICTURES = pathlib.Path(os.environ.get("SAEMILL_PICTURES", tempfile.gettempdir()))


class Refused(Exception):
    """The browser answered a call with an error."""


class Page:
    """One page of Chromium, by its debugging protocol."""

    def __init__(self, socket):
        self.socket, self.calls, self.problems = socket, 0, []

    async def watch(self):
        """From now on problems has what the page threw, and what the browser refused or did not find."""
        await self.call("Runtime.enable")
        await self.call("Log.enable")

    async def call(self, method, **parameters):
        self.calls += 1
        await self.socket.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE_S))
            if answer.get("id") == self.calls:
                if "error" in answer:
                    raise Refused(f"{method}: {answer['error']['message']}")
                return answer["result"]
            happened = answer.get("params", {})
            if answer.get("method") == "Runtime.exceptionThrown":
                self.problems.append(happened["exceptionDetails"].get("exception", {}).get("description", "an exception"))
            if answer.get("method") == "Log.entryAdded" and happened["entry"]["level"] == "error":
                self.problems.append(f"{happened['entry']['text']} {happened['entry'].get('url', '')}")

    async def value(self, expression):
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    async def until(self, expression):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                if value := await self.value(expression):
                    return value
            except Refused:  # what was asked of a page that another one took the place of
                pass
            await asyncio.sleep(0.05)
        raise AssertionError(f"never true: {expression}; the page: {await self.value('document.body.innerText')}")


class BrowserTest(serving.ServingTest, unittest.IsolatedAsyncioTestCase):
    """Each test has a browser of its own."""

    @classmethod
    def setUpClass(cls):
        need("chromium")
        try:
            import websockets  # pylint: disable=import-outside-toplevel
        except ImportError:
            raise unittest.SkipTest("python3-websockets is not installed (scripts/install-packages)") from None
        cls.connect = staticmethod(websockets.connect)
        super().setUpClass()

    async def asyncSetUp(self):
        self.profile = tempfile.mkdtemp(prefix="saemill-chromium-")
        with open(os.path.join(self.profile, "log"), "wb") as log:
            self.browser = subprocess.Popen(
                serving.bound_to_us(["chromium", *FLAGS, f"--user-data-dir={self.profile}", "about:blank"]), stdout=log, stderr=log,
                env={**os.environ, "HOME": self.profile})
        self.addCleanup(self.end_browser)
        # No ping: a browser that is busy with its start is no dead one.
        self.socket = await self.connect(self.debugged_page(), max_size=None, open_timeout=PATIENCE_S, ping_interval=None)
        self.page = Page(self.socket)

    def debugged_page(self):
        """The address of its first page's debugger, which is told some time after its port."""
        where = pathlib.Path(self.profile, "DevToolsActivePort")
        started = eventually(lambda: where.exists() and where.read_text().count("\n"), PATIENCE_S)
        self.assertTrue(started, f"chromium does not start: {self.browser.poll()} {pathlib.Path(self.profile, 'log').read_text()}")
        targets = f"http://127.0.0.1:{int(where.read_text().split()[0])}/json/list"

        def first_page():
            listed = json.loads(urllib.request.urlopen(targets, timeout=PATIENCE_S).read())
            return next((target["webSocketDebuggerUrl"] for target in listed if target["type"] == "page"), None)

        page = eventually(first_page, PATIENCE_S)
        self.assertTrue(page, "chromium has no page")
        return page

    async def asyncTearDown(self):
        await self.socket.close()

    def end_browser(self):
        self.browser.terminate()
        try:
            self.browser.wait(20)
        except subprocess.TimeoutExpired:  # its profile is thrown away
            self.browser.kill()
            self.browser.wait()
        eventually(lambda: shutil.rmtree(self.profile, ignore_errors=True) or not os.path.exists(self.profile))

    async def picture(self, name, beyond=False):
        """What the window shows, or beyond: all of the page."""
        shot = await self.page.call("Page.captureScreenshot", format="png", captureBeyondViewport=beyond)
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
