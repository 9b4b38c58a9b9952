"""Programs that people have: curl, Prometheus, a browser."""
import asyncio
import base64
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

import serving
from serving import eventually, need

PICTURES = pathlib.Path(os.environ.get("SAEMILL_PICTURES", tempfile.gettempdir()))


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


class Tools(serving.ServingTest):
    gpus = 16

    def curl(self, target, *arguments, token=None):
        need("curl")
        return run("curl", "-sS", "-f", "-H", f"Authorization: Bearer {token or self.server.token}", *arguments, self.server.url + target)

    def test_curl(self):
        answer = self.curl("/api/v1/system/gpus")
        self.assertEqual((answer.returncode, json.loads(answer.stdout)["gpu_count"]), (0, 16), answer)
        wrong = self.curl("/api/v1/system/gpus", token="wrong")
        self.assertEqual((wrong.returncode, wrong.stdout), (22, ""))
        self.assertIn("401", wrong.stderr)
        validated = self.curl("/api/v1/system/gpus/validate", "--json", '{"gpu_ids": [0]}')
        self.assertTrue(json.loads(validated.stdout)["valid"])

    def test_curl_waits_for_a_go_on(self):
        """For large bodies it asks first."""
        body = json.dumps({"gpu_ids": [0], "memory_mb": 1}) + " " * 100_000
        answer = self.curl("/api/v1/system/gpus/validate", "-v", "--expect100-timeout", "30", "-H", "Expect: 100-continue", "--json", body)
        self.assertTrue(json.loads(answer.stdout)["valid"])
        self.assertIn("< HTTP/1.1 100 Continue", answer.stderr)

    def test_curl_keeps_a_cookie(self):
        jar = self.server.folder / "cookies"
        signed_in = run("curl", "-sS", "-L", "-c", str(jar), "-b", str(jar), self.server.url + "/login?code=" + self.server.new_code())
        self.assertIn("<title>saemill</title>", signed_in.stdout)
        answer = run("curl", "-sS", "-b", str(jar), self.server.url + "/api/v1/system/metrics")
        self.assertEqual(json.loads(answer.stdout)["gpu_count"], 16)
        self.server.secrets.add(jar.read_text().split()[-1])

    def test_promtool(self):
        need("promtool")
        metrics = self.curl("/metrics").stdout
        checked = run("promtool", "check", "metrics", input=metrics)
        # DCGM's names are what everybody's dashboards ask for; they keep to none of Prometheus' rules.
        others = [line for line in checked.stderr.splitlines() if line and not line.startswith("DCGM_FI_")]
        self.assertEqual(others, [])
        self.assertIn(checked.returncode, (0, 3))  # 3: lints only

    def test_metrics_are_the_devices(self):
        lines = self.curl("/metrics").stdout.splitlines()
        series = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
        self.assertEqual(len(series), sum(not line.startswith("#") for line in lines), "a series twice")
        temperatures = sorted(value for name, value in series.items() if name.startswith("DCGM_FI_DEV_GPU_TEMP{"))
        self.assertEqual(temperatures, [30 + i for i in range(16)])
        self.assertEqual(series["saemill_database_up"], 1)


class Page:
    """One page of Chromium, by its debugging protocol."""

    def __init__(self, socket):
        self.socket, self.calls = socket, 0

    async def call(self, method, **parameters):
        self.calls += 1
        await self.socket.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await asyncio.wait_for(self.socket.recv(), 60))
            if answer.get("id") == self.calls:
                return answer["result"]

    async def value(self, expression):
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    async def until(self, expression):
        for _ in range(600):
            if value := await self.value(expression):
                return value
            await asyncio.sleep(0.05)
        raise AssertionError(f"never true: {expression}; the page: {await self.value('document.body.innerText')}")


class Foreign(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>foreign</title>")

    def log_message(self, *_):
        pass


class Browser(serving.ServingTest, unittest.IsolatedAsyncioTestCase):
    gpus = 16

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
        pages = json.loads(run("curl", "-sS", f"http://127.0.0.1:{port}/json/list").stdout)
        self.socket = await self.connect(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"), max_size=None)
        self.page = Page(self.socket)

    async def asyncTearDown(self):
        await self.socket.close()

    def end_browser(self):
        self.browser.terminate()
        self.browser.wait(20)
        eventually(lambda: shutil.rmtree(self.profile, ignore_errors=True) or not os.path.exists(self.profile))

    async def picture(self, name):
        shot = await self.page.call("Page.captureScreenshot", format="png")
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    async def test_the_link_shows_the_devices_live(self):
        await self.page.call("Page.navigate", url=self.server.url + "/login?code=" + self.server.new_code())
        await self.page.until("document.getElementById('state')?.textContent === 'Live: 16 devices'")
        rows = await self.page.value("[...document.querySelectorAll('#devices tr')].map((row) => row.innerText)")
        self.assertEqual(len(rows), 16)
        self.assertRegex(rows[3], r"3 NVIDIA H200\s+free\s+3 %\s+0\.0 GiB of 139\.7 GiB")
        self.assertEqual(await self.page.value("location.pathname + location.search"), "/")
        self.assertEqual(await self.page.value("document.cookie"), "")  # scripts cannot read it
        await self.picture("devices")
        self.server.scenario["gpus"][3]["utilization"] = 99
        self.server.write()
        await self.page.until("document.querySelectorAll('#devices tr')[3].innerText.includes('99 %')")
        self.assertEqual(await self.page.value("document.querySelectorAll('#endpoints li').length > 15"), True)

    async def test_the_token_signs_in(self):
        await self.page.call("Page.navigate", url=self.server.url + "/")
        await self.page.until("location.pathname === '/login' && document.readyState === 'complete'")
        await self.page.value("document.getElementById('token').value = 'wrong'; document.querySelector('button').click()")
        await self.page.until("document.getElementById('state').textContent.includes('not the server')")
        await self.picture("sign-in")
        await self.page.value(f"document.getElementById('token').value = {json.dumps(self.server.token)}; document.querySelector('button').click()")
        await self.page.until("document.getElementById('state')?.textContent === 'Live: 16 devices'")

    async def test_a_used_link_says_so(self):
        link = self.server.url + "/login?code=" + self.server.new_code()
        self.assertEqual(run("curl", "-sS", link).returncode, 0)
        await self.page.call("Page.navigate", url=link)
        await self.page.until("document.getElementById('state')?.textContent.includes('used already')")

    async def test_it_comes_back_after_a_restart(self):
        server = self.serve(gpus=2).start()
        await self.page.call("Page.navigate", url=server.url + "/login?code=" + server.new_code())
        await self.page.until("document.getElementById('state')?.textContent === 'Live: 2 devices'")
        self.assertEqual(server.stop(), 0)
        await self.page.until("document.getElementById('state').textContent.includes('Connection lost')")
        server.listen = f"127.0.0.1:{server.port}"
        server.start()
        await self.page.until("document.getElementById('state').textContent === 'Live: 2 devices'")

    async def test_another_page_gets_nothing(self):
        """A page of another port of this machine, to which the browser sends the cookie."""
        await self.page.call("Page.navigate", url=self.server.url + "/login?code=" + self.server.new_code())
        await self.page.until("document.getElementById('state')?.textContent === 'Live: 16 devices'")
        foreign = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
        self.addCleanup(foreign.server_close)
        self.addCleanup(foreign.shutdown)
        threading.Thread(target=foreign.serve_forever).start()
        await self.page.call("Page.navigate", url=f"http://127.0.0.1:{foreign.server_port}/")
        await self.page.until("document.title === 'foreign'")
        before = self.server.stderr()
        devices = f"'{self.server.url}/api/v1/system/gpus'"
        form = "{method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'}"
        for tried in (f"fetch({devices}, {{credentials: 'include'}}).then(() => 'read', () => 'refused')",
                      f"fetch({devices}, {{mode: 'no-cors', credentials: 'include'}}).then((answer) => answer.type, () => 'refused')",
                      f"fetch('{self.server.url}/api/v1/system/gpus/validate', {form}).then((answer) => answer.type, () => 'refused')",
                      f"new Promise((done) => {{ const socket = new WebSocket('ws://127.0.0.1:{self.server.port}/ws');"
                      " socket.onopen = () => done('open'); socket.onerror = () => done('refused'); })"):
            self.assertIn(await self.page.value(tried), ("refused", "opaque"), tried)
        refused = self.server.stderr()[len(before):].splitlines()
        self.assertEqual([" 403 forbidden_origin: " in line for line in refused], [True] * 4, refused)


if __name__ == "__main__":
    serving.main()
