"""Programs that people have: curl, Prometheus, a browser."""
import http.server
import json
import subprocess
import threading

import serving
from browser import BrowserTest
from serving import need


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


class Foreign(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>foreign</title>")

    def log_message(self, *_):
        pass


class Browser(BrowserTest):
    """The page, whether or not this build has the web application."""
    gpus = 16

    async def test_the_link_shows_the_devices_live(self):
        await self.page.call("Page.navigate", url=self.server.url + "/login?code=" + self.server.new_code())
        await self.page.until("document.getElementById('state')?.textContent === 'Live: 16 devices'")
        rows = await self.page.value("[...document.getElementById('devices').children].map((row) => row.innerText)")
        self.assertEqual(len(rows), 16)
        for words in ("3", "NVIDIA H200", "free", "3 %", "0.0 GiB of 139.7 GiB"):
            self.assertRegex(rows[3], rf"(?<!\S){words}(?!\S)")
        self.assertEqual(await self.page.value("location.pathname + location.search"), "/")
        self.assertEqual(await self.page.value("document.cookie"), "")  # scripts cannot read it
        await self.picture("devices")
        self.server.scenario["gpus"][3]["utilization"] = 99
        self.server.write()
        await self.page.until("document.getElementById('devices').children[3].innerText.includes('99 %')")
        # The page of a build without the application says what there is instead.
        if await self.page.value("document.getElementById('endpoints') !== null"):
            self.assertGreater(await self.page.value("document.querySelectorAll('#endpoints li').length"), 15)

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
        told = self.server.stderr()[len(before):]
        self.assertEqual(told.count(" 403 forbidden_origin: "), 4, told)


if __name__ == "__main__":
    serving.main()
