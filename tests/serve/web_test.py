"""The web application in a real browser: what people see and press. Writes a picture of each page in both themes, wide and narrow."""
import json
import os
import pathlib
import unittest

import serving
from browser import BrowserTest
from training_commands import ENDLESS, TrainingCommandsTest

WIDTHS = (1440, 420)
AXE = pathlib.Path(serving.PROGRAM).parent.parent / "web/node_modules/axe-core/axe.min.js"  # where cmake/Web.cmake has npm install it


class WebTest(BrowserTest):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        await self.page.watch()

    def check_problems(self, expected=()):
        """Nothing was thrown, nothing refused by the Content-Security-Policy, nothing missing."""
        left = [problem for problem in self.page.problems if not any(words in problem for words in expected)]
        self.assertEqual(left, [])

    async def open(self, server, place=""):
        await self.page.call("Page.navigate", url=server.url + "/login?code=" + server.new_code())
        await self.page.until("document.getElementById('state')?.textContent.startsWith('Live')")
        if await self.page.value("document.getElementById('endpoints') !== null"):
            raise unittest.SkipTest("this build has no web application (npm is missing)")
        await self.go(place)

    async def go(self, place):
        await self.page.value(f"location.hash = {place!r}")

    async def press(self, words, within="body"):
        """A button, link or radio button, by what it says."""
        await self.page.until(f"""(() => {{
            const found = [...document.querySelectorAll({within!r} + ' :is(button, a, label)')].find((one) => one.innerText.trim().startsWith({words!r}));
            found?.click(); return found !== undefined; }})()""")

    async def sees(self, words, where="main"):
        await self.page.until(f"document.querySelector({where!r})?.innerText.includes({words!r})")

    async def check_access(self, name):
        """What axe has to say against the page: WCAG 2.2 AA, and its best practices."""
        await self.page.value(AXE.read_text() + "; 0")
        told = await self.page.value("""axe.run().then(({violations}) => JSON.stringify(
            violations.map(({id, nodes}) => [id, nodes.map(({html, failureSummary}) => html + failureSummary)])))""")
        self.assertEqual(json.loads(told), [], name)

    async def pictures(self, name):
        await self.page.call("Emulation.setScrollbarsHidden", hidden=True)
        for theme in ("light", "dark"):
            await self.page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            for width in WIDTHS:
                await self.page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
                await self.page.value("new Promise((done) => setTimeout(done, 400))")
                wider = await self.page.value("document.documentElement.scrollWidth - innerWidth")
                self.assertLessEqual(wider, 0, f"{name} is wider than {width} px")
                await self.picture(f"web-{name}-{theme}-{width}", beyond=True)
                await self.check_access(f"{name}, {theme}, {width} px wide")
        await self.page.call("Emulation.clearDeviceMetricsOverride")


class System(WebTest):
    async def test_a_machine_of_eight(self):
        server = self.serve(gpus=8)
        gpus = server.scenario["gpus"]
        gpus[2].update(utilization=97, memory_used=60 * 2**30, processes=[{"pid": os.getpid(), "memory_used": 60 * 2**30}])
        server.write()
        server.start()
        await self.open(server)
        await self.sees("foreign", "#devices > :nth-child(3)")
        await self.sees("60.0 GiB of 139.7 GiB", "#devices > :nth-child(3)")
        await self.pictures("per-gpu")
        server.write(events=[{"at_s": 0, "gpu": 5, "lost": True}])
        await self.sees("lost", "#devices > :nth-child(6)")
        await self.press("Aggregated")
        await self.sees("lost\n1")
        await self.pictures("aggregated")
        await self.page.value("location.reload()")  # the choice is kept
        await self.sees("Busiest device")
        self.check_problems()

    async def test_machines_of_all_sizes(self):
        for gpus in (0, 1, 16):
            server = self.serve(gpus, ("--cpu-slots", "0")).start()
            await self.open(server)
            if gpus:
                await self.page.until(f"document.getElementById('devices')?.children.length === {gpus}")
            else:
                await self.sees("--cpu-slots")
            await self.pictures(f"devices-{gpus}")
        self.check_problems()

    async def test_the_theme_is_kept(self):
        server = self.serve(1).start()
        await self.open(server)
        background = "getComputedStyle(document.body).backgroundColor"
        shades = set()
        for theme in ("light", "dark"):
            await self.page.value(f"""(() => {{ const select = document.querySelector('.theme select');
                Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set.call(select, {theme!r});
                select.dispatchEvent(new Event('change', {{bubbles: true}})); }})()""")
            await self.page.until(f"document.documentElement.dataset.theme === {theme!r}")
            shades.add(await self.page.value(background))
        self.assertEqual(len(shades), 2)
        await self.page.value("location.reload()")
        await self.page.until("document.documentElement.dataset.theme === 'dark'")


class Trainings(WebTest, TrainingCommandsTest):
    async def test_a_training_from_its_start_to_its_end(self):
        await self.open(self.server, "#/trainings")
        await self.sees("There is no training yet")
        training = self.submit(name="shakespeare", steps=ENDLESS)
        await self.sees("running")
        waiting = self.submit("--hold", name="waits")
        await self.sees("waits")
        self.reach(waiting, "queued")
        await self.page.until("Number(document.querySelector('[role=progressbar][aria-label$=shakespeare]')?.innerText.split(' of')[0].replaceAll(',', '')) > 0")
        await self.pictures("trainings")
        await self.go("#/")
        await self.sees("held by shakespeare", "#devices")
        await self.pictures("cpu-slots")
        await self.go("#/trainings")

        await self.press("shakespeare", "table")
        await self.page.until("document.querySelectorAll('.chart canvas').length === 4")
        steps = "document.querySelector('[role=progressbar]').innerText"
        before = await self.page.value(steps)
        await self.page.until(f"{steps} !== {before!r}")
        await self.press("checkpoint")
        await self.sees("after", "#checkpoints + .files")
        await self.press("pause")
        await self.sees("paused", ".title-row")
        self.reach(training, "paused")
        await self.press("resume")
        await self.sees("running", ".title-row")
        await self.pictures("training")

        await self.press("finish")
        await self.press("No", "dialog")
        await self.press("finish")
        await self.press("Yes", "dialog")
        await self.sees("completed", ".title-row")
        await self.sees("sae_weights.safetensors", "#sae + .files")
        link = await self.page.value("document.querySelector('#sae + .files a').getAttribute('href')")
        self.assertEqual(self.server.ask("GET", link).status, 200)
        await self.pictures("training-completed")
        self.check_problems()

    async def test_cancel_asks_first(self):
        training = self.running(name="endless")
        await self.open(self.server, "#/trainings")
        await self.press("cancel", "table")
        await self.sees("Cancel endless?", "dialog")
        await self.pictures("cancel")
        await self.press("No", "dialog")
        await self.page.until("document.querySelector('dialog') === null")
        self.assertEqual(self.get(training)["status"], "running")
        await self.press("cancel", "table")
        await self.press("Yes", "dialog")
        self.reach(training, "cancelled")
        await self.sees("cancelled")
        await self.press("completed")
        await self.sees("None of the 1 trainings is completed")
        self.check_problems()

    async def test_what_is_not_there(self):
        await self.open(self.server, "#/trainings/nobody")
        await self.page.until("document.querySelector('[role=alert]')?.innerText.includes('nobody')")
        self.check_problems(["404"])


if __name__ == "__main__":
    serving.main()
