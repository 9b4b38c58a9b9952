"""The WebSocket, as the clients of another make see it: what is, what happened, and what was missed."""
import asyncio
import json
import os
import unittest

import serving
from live import Live, need_websockets, websockets
from serving import gpu_uuid


class LiveTest(serving.ServingTest, unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        need_websockets()
        super().setUpClass()

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)  # too slow for a crowd

    def change(self, index, **values):
        self.server.scenario["gpus"][index].update(values)
        self.server.write()

    def check_gapless(self, messages, first):
        self.assertEqual([message["seq"] for message in messages], list(range(first, first + len(messages))))


class Ticks(LiveTest):
    gpus = 16

    async def test_hello(self):
        described = self.server.get("server").json
        async with Live(self.server) as live:
            self.assertEqual(live.hello, {name: described[name] for name in ("server_id", "boot", "version")})
            self.assertEqual(self.server.get("server").json["websockets"], 1)

    async def test_a_cookie_will_do(self):
        headers = {"Cookie": self.server.sign_in(), "Origin": self.server.url}
        async with websockets.connect(f"ws://127.0.0.1:{self.server.port}/ws", extra_headers=headers) as socket:
            self.assertEqual(json.loads(await socket.recv())["event"], "hello")

    async def test_once_a_period(self):
        channels = ("system/gpus", "system/gpu/3", "system/aggregate", "system/host")
        async with Live(self.server) as live:
            for channel in channels:
                await live.subscribe(channel)
            while min(len(live.ticks(channel)) for channel in channels) < 8:
                await live.event("system:metrics")
            self.assertEqual({message.get("channel") for message in live.heard}, {*channels, None})
            everyone = {tick["gpus"][3]["sampled_at"]: tick["gpus"][3] for tick in live.ticks("system/gpus")}
            one = {tick["sampled_at"]: tick for tick in live.ticks("system/gpu/3")}
            self.assertGreaterEqual(len(everyone.keys() & one.keys()), 7)
            for when in everyone.keys() & one.keys():
                self.assertEqual(everyone[when], one[when])
            for times in ([*everyone], [*one], [tick["sampled_at"] for tick in live.ticks("system/host")]):
                self.assertEqual(times, sorted(set(times)))
            self.assertEqual(len({len(live.ticks(channel)) for channel in channels}) <= 2, True)
            self.assertEqual(live.ticks("system/gpus")[-1]["gpu_count"], 16)
            self.assertEqual(live.ticks("system/aggregate")[-1]["max_temperature"], 45)
            self.assertEqual(live.ticks("system/host")[-1]["host"], os.uname().nodename)

    async def test_values_follow_the_driver(self):
        async with Live(self.server) as live:
            await live.subscribe("system/gpu/5")
            for utilization in (77, 12):
                self.change(5, utilization=utilization)
                await live.event("system:metrics", utilization=utilization)

    async def test_no_more_after_unsubscribing(self):
        async with Live(self.server) as live:
            await live.subscribe("system/host")
            await live.event("system:metrics")
            await live.say("unsubscribe", "system/host")
            await live.subscribe("system/aggregate")  # answered after the other was ended
            heard = len(live.ticks("system/host"))
            while len(live.ticks("system/aggregate")) < 5:
                await live.event("system:metrics")
            self.assertEqual(len(live.ticks("system/host")), heard)

    async def test_channels_that_are_not_there(self):
        async with Live(self.server) as live:
            for channel in ("system/gpu/16", "system", "trainings/x/progress", ""):
                await live.say("subscribe", channel)
                answer = await live.event("error")
                self.assertIn(answer["data"]["code"], ("no_such_channel", "invalid_message"))


class Events(LiveTest):
    """One server for each test: what happened is counted."""

    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.server = self.serve(gpus=4).start()
        self.all = self.server.scenario["gpus"][:]

    def stored(self):
        return self.server.get("events?limit=500").json

    async def test_what_happens_is_told_and_stored(self):
        async with Live(self.server) as live:
            self.assertEqual((await live.subscribe("system/gpus"))["data"]["seq"], 0)
            await live.subscribe("events")
            self.server.write(gpus=self.all[:3])
            self.assertEqual((await live.event("gpu:removed"))["data"], {"uuid": gpu_uuid(3), "index": 3})
            await live.event("event:created", code="gpu_removed", severity="warning", device_uuid=gpu_uuid(3))
            self.assertEqual(self.server.get("system/gpus").json["gpu_count"], 3)
            await live.until(lambda message: message["event"] == "system:metrics" and message["data"]["gpu_count"] == 3)
            self.server.write(gpus=self.all)
            self.assertEqual((await live.event("gpu:added"))["data"]["uuid"], gpu_uuid(3))
            await live.event("event:created", code="gpu_added", severity="info", device_uuid=gpu_uuid(3))
            self.server.write(events=[{"at_s": 0, "gpu": 1, "xid": 79}])
            self.assertEqual((await live.event("gpu:xid"))["data"], {"uuid": gpu_uuid(1), "index": 1, "xid": 79, "application": False})
            await live.event("gpu:state", uuid=gpu_uuid(1), availability="unhealthy")
            await live.event("event:created", code="gpu_state", severity="error", device_uuid=gpu_uuid(1))
            self.change(0, processes=[{"pid": os.getpid(), "memory_used": 9_000_000_000}])
            state = await live.event("gpu:state", uuid=gpu_uuid(0), availability="foreign")
            self.assertEqual(state["data"]["processes"][0]["pid"], os.getpid())
            self.change(0, processes=[])
            await live.event("gpu:state", uuid=gpu_uuid(0), availability="free")
            for degrees, severity, over in ((86, "warning", False), (95, "error", False), (60, "info", True)):
                self.change(2, temperature=degrees)
                await live.event("event:created", code="hot", severity=severity, over=over, device_uuid=gpu_uuid(2))
            self.check_gapless(live.events("system/gpus"), 1)
            self.check_gapless(live.events("events"), 1)
            told = [message["data"] for message in live.events("events")]
            self.assertEqual([event["code"] for event in told], ["gpu_removed", "gpu_added", "xid", "gpu_state", "hot", "hot", "hot"])
            self.assertEqual(self.stored()["data"], told[::-1])

    async def test_pages_of_what_happened(self):
        async with Live(self.server) as live:
            await live.subscribe("events")
            for degrees in (86, 95, 60) * 3:
                self.change(2, temperature=degrees)
                await live.event("event:created")
        everything = self.stored()["data"]
        self.assertEqual(len(everything), 9)
        pages = [self.server.get(f"events?limit=4&page={page}").json for page in (1, 2, 3, 4)]
        self.assertEqual([event for page in pages for event in page["data"]], everything)
        self.assertEqual(pages[0]["pagination"], {"page": 1, "limit": 4, "total": 9, "total_pages": 3})
        self.assertEqual({event["severity"] for event in self.server.get("events?severity=warning").json["data"]}, {"warning", "error"})
        self.assertEqual(self.server.get("events?severity=error").json["pagination"]["total"], 3)
        third = everything[-3]["id"]
        self.assertEqual(self.server.get(f"events?since={third}").json["data"], everything[:-3])
        for wrong in ("limit=0", "limit=501", "page=0", "since=-1", "severity=bad"):
            self.check_problem(self.server.get("events?" + wrong), 400, "invalid_parameter")

    async def test_what_was_missed_comes_once(self):
        async with Live(self.server) as witness:
            await witness.subscribe("events")
            await witness.subscribe("system/gpus")
            seen = []
            since = {"events": 0, "system/gpus": 0}
            for turn in range(6):
                async with Live(self.server) as live:
                    for channel in since:
                        await live.subscribe(channel, since=since[channel])
                    self.server.write(gpus=self.all[:3 + turn % 2])
                    await witness.event("event:created")
                    if turn % 3:  # else it leaves before it hears of this one
                        await live.event("event:created", id=witness.events("events")[-1]["data"]["id"])
                    heard = live.events("events") + live.events("system/gpus")
                    seen += heard
                    for message in heard:
                        since[message["channel"]] = message["seq"]
            async with Live(self.server) as live:
                for channel in since:
                    last = await live.subscribe(channel, since=since[channel])
                    if last["seq"] > since[channel]:
                        await live.until(lambda message, last=last: message.get("channel") == last["channel"] and message["seq"] == last["seq"]
                                         and ":" in message["event"])
                seen += live.events("events") + live.events("system/gpus")
            for channel in since:
                self.assertEqual([message for message in seen if message["channel"] == channel], witness.events(channel))
            self.assertEqual(len(witness.events("events")), 6)

    async def test_another_boot_begins_anew(self):
        async with Live(self.server) as live:
            boot = live.hello["boot"]
            await live.subscribe("events")
            self.server.write(gpus=self.all[:2])
            await live.event("event:created")
            last = live.events("events")[-1]["seq"]
            self.assertEqual(self.server.stop(), 0)
            with self.assertRaises(websockets.ConnectionClosed) as closed:
                await live.event("nothing")
            self.assertEqual(closed.exception.code, 1001)
        self.server.start()
        async with Live(self.server) as live:
            self.assertNotEqual(live.hello["boot"], boot)
            self.assertEqual((await live.subscribe("events", since=last))["seq"], 0)
            await live.until(lambda message: message["event"] == "reset")
            self.assertEqual(live.events("events"), [])
        self.assertEqual(self.stored()["pagination"]["total"], 2)


class Crowd(LiveTest):
    gpus = 20
    clients, turns, ticks = 100, 30, 40

    async def watch(self, live):
        await live.subscribe("system/gpus")
        await live.subscribe("events")
        self.ready.release()
        await live.event("event:created", device_uuid=gpu_uuid(19))  # the last one
        while len(live.ticks("system/gpus")) < self.ticks:
            await live.event("system:metrics")

    async def test_all_see_the_same(self):
        self.ready = asyncio.Semaphore(0)
        crowd = [Live(self.server) for _ in range(self.clients)]
        await asyncio.gather(*(live.__aenter__() for live in crowd))
        watching = asyncio.gather(*(self.watch(live) for live in crowd))
        for _ in crowd:
            await self.ready.acquire()
        async with Live(self.server) as witness:
            await witness.subscribe("events")
            for turn in range(self.turns):
                self.change(turn % 10, temperature=(95, 40)[turn // 10 % 2])
                await witness.event("event:created")
            self.change(19, temperature=95)
            await asyncio.gather(watching, witness.event("event:created", device_uuid=gpu_uuid(19)))
            self.assertEqual(self.server.get("server").json["websockets"], self.clients + 1)
        for live in crowd:
            self.assertEqual(live.events("events"), witness.events("events"))
            self.assertEqual(live.events("system/gpus"), crowd[0].events("system/gpus"))
            times = [tick["gpus"][0]["sampled_at"] for tick in live.ticks("system/gpus")]
            self.assertEqual(times, sorted(set(times)))
        self.assertEqual(len(witness.events("events")), self.turns + 1)
        self.check_gapless(witness.events("events"), 1)
        await asyncio.gather(*(live.__aexit__() for live in crowd))
        self.assertTrue(serving.eventually(lambda: self.server.get("server").json["websockets"] == 0))


if __name__ == "__main__":
    serving.main()
