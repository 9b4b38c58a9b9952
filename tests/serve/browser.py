"""A real browser, driven by its debugging protocol."""
import asyncio
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

import serving
from serving import eventually, need

PICTURES = pathlib.Path(os.environ.get("SAEMILL_PICTURES", tempfile.gettempdir()))


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
            answer = json.loads(await asyncio.wait_for(self.socket.recv(), 60))
            if answer.get("id") == self.calls:
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
        for _ in range(600):
            if value := await self.value(expression):
                return value
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
            self.browser = subprocess.Popen(serving.bound_to_us([
                "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
                "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--window-size=1000,1000",
                "--remote-debugging-port=0", f"--user-data-dir={self.profile}", "about:blank"]), stdout=log, stderr=log,
                env={**os.environ, "HOME": self.profile})
        self.addCleanup(self.end_browser)
        where = pathlib.Path(self.profile, "DevToolsActivePort")
        self.assertTrue(eventually(lambda: where.exists() and where.read_text().count("\n"), 60), "chromium does not start")
        port = int(where.read_text().split()[0])
        pages = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=60).read())
        self.socket = await self.connect(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"), max_size=None)
        self.page = Page(self.socket)

    async def asyncTearDown(self):
        await self.socket.close()

    def end_browser(self):
        self.browser.terminate()
        self.browser.wait(20)
        eventually(lambda: shutil.rmtree(self.profile, ignore_errors=True) or not os.path.exists(self.profile))

    async def picture(self, name, beyond=False):
        """What the window shows, or beyond: all of the page."""
        shot = await self.page.call("Page.captureScreenshot", format="png", captureBeyondViewport=beyond)
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
