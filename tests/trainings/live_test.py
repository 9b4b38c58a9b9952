"""Trainings over the WebSocket: nothing missed, nothing twice, whatever happens to the server or the client."""
import asyncio
import contextlib
import unittest

from trainings import TrainingsTest, config, serving
from live import ConnectionClosed, Live, need_websockets  # of tests/serve, whose path trainings has added

SHAPE = config(600)


class Channels(TrainingsTest, unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        need_websockets()
        super().setUpClass()

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)
        self.train()

    def written(self, training):
        """{seq: event} of all lines of events.jsonl."""
        lines = (self.server.run_folder(training) / "events.jsonl").read_text().splitlines()
        return {event["seq"]: event for event in map(serving.json.loads, lines)}

    @staticmethod
    def lines_of(live, channel):
        """{seq: data} of what came from events.jsonl; states are ticks, whose last one counts."""
        return [(message["seq"], message["data"]) for message in live.events(channel) if "event" in message["data"]]

    async def test_from_the_creation_to_the_deletion(self):
        server = self.server
        async with Live(server) as live:
            await live.subscribe("trainings")
            training = server.submit(SHAPE, hold=True)
            progress, checkpoints = f"trainings/{training}/progress", f"trainings/{training}/checkpoints"
            await live.event("training:created", id=training, status="queued")
            await live.subscribe(progress)
            await live.subscribe(checkpoints)
            server.control(training, "release")
            for status in ("starting", "running", "finalizing", "completed"):
                await live.until(lambda message, status=status: message.get("channel") == "trainings" and message["event"] == "training:status"
                                 and message["data"]["status"] == status and message["data"]["id"] == training)
            await live.until(lambda message: message["event"] == "training:completed" and message["channel"] == progress)
            written = self.written(training)
            self.assertEqual(self.lines_of(live, progress), sorted(written.items()))
            made = [message for message in live.events(checkpoints) if message["event"] == "checkpoint:created"]
            self.assertEqual([(message["seq"], message["data"]["step"]) for message in made],
                             [(seq, event["step"]) for seq, event in sorted(written.items()) if event["event"] == "checkpoint"])
            kept = {message["data"]["step"] for message in made} - {step for message in made for step in message["data"]["deleted"]}
            self.assertEqual(kept, {one["step"] for one in server.get(f"trainings/{training}/checkpoints").json["data"]})
            changes = live.events("trainings")
            self.assertEqual([message["seq"] for message in changes], list(range(1, len(changes) + 1)))
            self.assertEqual(server.ask("DELETE", f"/api/v1/trainings/{training}").status, 204)
            await live.event("training:deleted", id=training)

    async def test_once_over_restarts_of_the_server(self):
        """seq is that of events.jsonl, whatever boot tells it: what a client hears goes on where it stopped, or at the seq of a `reset`."""
        server, shape = self.server, config(1200)
        training = server.submit(shape)
        progress, heard, missed = f"trainings/{training}/progress", [], []
        for _ in range(4):
            since = heard[-1][0] if heard else 0
            async with Live(server) as live:
                await live.subscribe(progress, since=since)
                for _ in range(20):
                    await live.until(lambda message: "event" in message["data"] or message["event"] == "training:completed")
                server.kill()
                with contextlib.suppress(ConnectionClosed):
                    await live.event("nothing")
            missed += [range(since + 1, message["seq"] + 1) for message in live.heard if message["event"] == "reset"]
            heard += self.lines_of(live, progress)
            server.start()
        self.assertLess(len(missed), 4, "none was told what it missed")
        self.complete(training, shape)
        self.assertEqual(heard, [(seq, event) for seq, event in sorted(self.written(training).items())
                                 if seq <= heard[-1][0] and not any(seq in hole for hole in missed)])

    async def test_a_client_that_comes_late(self):
        """All that it missed, or the word that it must read REST again."""
        server = self.server
        training = server.submit(SHAPE)
        progress = f"trainings/{training}/progress"
        self.complete(training, SHAPE)
        async with Live(server) as live:
            await live.subscribe(progress, since=0)
            await live.until(lambda message: message["event"] == "reset" or ":" in message["event"])
            written = self.written(training)
            if not any(message["event"] == "reset" for message in live.heard):
                await live.until(lambda message: message.get("seq") == max(written))
                self.assertEqual(self.lines_of(live, progress), sorted(written.items()))


if __name__ == "__main__":
    serving.main()
