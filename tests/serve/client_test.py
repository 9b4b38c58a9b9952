"""saemill logs, download, rm, and what may be asked of trainings."""
import json
import shutil
import signal
import time

import serving
from flaky_proxy import FlakyProxy
from training_commands import ENDLESS, TrainingCommandsTest


class Actions(TrainingCommandsTest):
    def status(self, training):
        return self.get(training)["status"]

    def test_pause_and_resume(self):
        training = self.running(name="rests")
        self.assertIn("  pausing  ", self.run_command("pause", training))
        self.reach(training, "paused")
        resumed = self.json("resume", training, "--wait", "--count", 2, "--priority", 9)
        self.assertEqual((resumed["status"], resumed["world_size"], resumed["priority"]), ("running", 2, 9))
        paused = self.json("pause", training, "--wait")
        self.assertEqual(paused["status"], "paused")
        self.assertEqual(self.json("resume", training, "--wait", "--devices", "cpu:13")["world_size"], 1)
        self.run_command("resume", training, code=64)
        self.assertIn("is running", self.stderr)

    def test_finish_cancel_and_retry(self):
        training = self.running()
        self.assertEqual(self.json("finish", training, "--wait")["status"], "completed")
        self.assertTrue((self.run_folder(training) / "sae/sae_weights.safetensors").exists())
        other = self.running()
        self.assertEqual(self.json("cancel", other, "--wait")["status"], "cancelled")
        self.assertEqual(self.json("retry", other, "--wait", "--count", 2)["world_size"], 2)

    def test_hold_and_release(self):
        training = self.submit()
        self.reach(training, "queued", "completed", "running", "starting")
        waiting = self.submit("--hold", "--priority", 3)
        self.assertFalse(self.json("release", waiting, "--priority", 4)["held"])
        self.assertEqual(self.reach(waiting, "completed")["priority"], 4)
        held = self.submit("--hold")
        self.assertTrue(self.json("hold", held, "--priority", 5)["held"])
        self.assertEqual(self.get(held)["priority"], 5)

    def test_checkpoint(self):
        training = self.running()
        self.assertEqual(self.server.get(f"trainings/{training}/checkpoints").json["data"], [])
        for count in (1, 2):
            self.assertEqual(self.json("checkpoint", training, "--wait")["status"], "running")
            self.assertEqual(len(self.server.get(f"trainings/{training}/checkpoints").json["data"]), count)
        self.run_command("checkpoint", training)

    def test_resume_from_a_checkpoint(self):
        training = self.running()
        self.json("checkpoint", training, "--wait")
        self.run_command("checkpoint", training, "--checkpoint", 1, code=64)
        self.json("pause", training, "--wait")
        first, second = (one["name"] for one in self.server.get(f"trainings/{training}/checkpoints").json["data"])
        self.run_command("resume", training, "--checkpoint", "step-00000000", code=64)
        self.assertIn(f"accepted: {first}, {second}", self.stderr)
        self.json("resume", training, "--wait", "--checkpoint", int(first.removeprefix("step-")))
        rewinds = [one["step"] for one in self.server.get(f"trainings/{training}/events?limit=500").json["data"] if one["event"] == "rewind"]
        self.assertEqual(rewinds, [int(first.removeprefix("step-"))])

    def test_prioritize(self):
        waiting = self.submit("--hold", "--priority", 3)
        self.assertEqual(self.json("prioritize", waiting, "--priority", 70)["priority"], 70)
        self.assertEqual(self.get(waiting)["priority"], 70)
        self.run_command("prioritize", waiting, code=64)
        self.run_command("prioritize", self.running(), "--priority", 1, code=64)
        self.assertIn("accepted: pause, finish, cancel, checkpoint", self.stderr)

    def test_it_may_end_elsewhere(self):
        self.submit("--devices", "cpu:12", steps=ENDLESS)
        training = self.submit("--devices", "cpu:12")
        self.run_command("cancel", training)
        process = self.begin("retry", training, "--wait")
        self.reach(training, "queued")
        self.run_command("cancel", training)
        self.assertEqual(process.wait(60), 1)
        self.assertIn("ended elsewhere: the training is cancelled", process.stderr.read())

    def test_which_training_is_meant(self):
        first, second, third = (self.submit("--hold", "--name", name) for name in ("one", "two", "two"))
        self.run_command("hold", "one")
        self.run_command("hold", first[:8])
        self.run_command("hold", "two", code=64)
        self.assertIn("could be 2 trainings", self.stderr)
        for training in (second, third):
            self.assertIn(training, self.stderr)
        self.run_command("hold", first[:3], code=64)
        self.assertIn("there is no training", self.stderr)
        self.run_command("hold", "a" * 16, code=64)
        # The name of one is the beginning of another's id.
        self.run_command("hold", self.submit("--hold", "--name", first[:5]), first)
        self.run_command("hold", first[:5], code=64)
        # Nothing is done where one is not clear.
        self.run_command("cancel", first, "nothing", code=64)
        self.assertEqual(self.status(first), "queued")

    def test_several(self):
        first, second, third = (self.submit("--hold") for _ in range(3))
        self.run_command("cancel", second)
        out = self.run_command("cancel", first, second, third, first, code=64)
        self.assertEqual([line.split()[0] for line in out.splitlines()], [first, third])
        self.assertIn(f"{second}: ", self.stderr)
        self.assertEqual([self.status(one) for one in (first, second, third)], ["cancelled"] * 3)
        for words in (("pause", first, "--count", 2), ("cancel", first, "--priority", 3), ("hold", first, "--wait"), ("pause",)):
            self.run_command(*words, code=64)

    def test_rm(self):
        queued, running = self.submit("--hold", name="gone"), self.running()
        self.assertEqual(self.run_command("rm", queued), f"{queued}  gone  deleted\n")
        self.run_command("rm", running, code=64)
        self.assertIn("--force", self.stderr)
        self.assertEqual(self.json("rm", running, "--force"), {"id": running, "deleted": True})
        self.assertFalse(self.run_folder(running).exists())
        done = self.submit()
        self.reach(done, "completed")
        serving.eventually(lambda: self.run_command("rm", done, "--force"))
        self.assertEqual(self.json("ps", "--all")["data"], [])
        self.run_command("rm", done, code=64)


class Logs(TrainingCommandsTest):
    def test_the_end_of_it(self):
        training = self.submit(name="talks")
        self.reach(training, "completed")
        log = (self.run_folder(training) / "logs/rank-0.log").read_text()
        self.assertEqual((log, self.run_command("logs", training, warns=True)), ("", ""))
        self.assertIn("--rank launcher", self.stderr)
        with open(self.run_folder(training) / "logs/rank-0.log", "a", encoding="utf-8") as file:
            file.write("ä one\nlast\n")
        self.assertEqual(self.run_command("logs", "talks"), log + "ä one\nlast\n")
        self.assertEqual(self.run_command("logs", training, "--tail", 1), "last\n")
        self.assertEqual(self.run_command("logs", training, "--rank", "launcher"),
                         (self.run_folder(training) / "launcher.log").read_text())
        self.assertEqual(self.json("logs", training, "--tail", 2), {"rank": "0", "text": "ä one\nlast\n"})
        self.assertEqual(self.run_command("logs", training, "-f", "--tail", 2), "ä one\nlast\n")
        self.run_command("logs", training, "--rank", 9, code=64)
        self.assertIn("logs of: 0", self.stderr)
        for words in (("--rank", "x"), ("--tail", 0), ("--events", "--rank", 0), ("--events", "--tail", 5)):
            self.run_command("logs", training, *words, code=64)

    def test_follow(self):
        training = self.running()
        path = self.run_folder(training) / "logs/rank-0.log"
        process = self.begin("logs", training, "-f")
        with open(path, "a", encoding="utf-8") as log:
            for number in range(3):
                log.write(f"line {number}\nhalf ")
                log.flush()
                time.sleep(0.6)
        self.run_command("pause", training)
        self.assertEqual(process.wait(60), 0)
        self.assertEqual((process.stdout.read(), process.stderr.read()), (path.read_text(), ""))

    def test_a_log_that_is_cut(self):
        training = self.running()
        path = self.run_folder(training) / "logs/rank-0.log"
        with open(path, "a", encoding="utf-8") as log:
            log.write("long " * 1000 + "\n")
        process = self.begin("logs", training, "-f", "--tail", "1")
        self.assertIn("long", process.stdout.readline())
        path.write_text("new\n")
        self.assertEqual(process.stdout.readline(), "new\n")
        self.run_command("cancel", training)
        self.assertEqual(process.wait(60), 0)
        self.assertIn("was cut", process.stderr.read())

    def test_a_log_that_is_not_there_yet(self):
        training = self.submit("--hold")
        self.run_command("logs", training, code=64)
        process = self.begin("logs", training, "-f", "--events")
        self.run_command("release", training)
        self.assertEqual(process.wait(60), 0)
        events = [json.loads(line)["event"] for line in process.stdout.read().splitlines()]
        self.assertEqual((events[0], events[-1]), ("started", "finished"))

    def test_events(self):
        training = self.running()
        process = self.begin("logs", training, "-f", "--events")
        self.run_command("checkpoint", training, "--wait")
        self.run_command("pause", training, "--wait")
        self.assertEqual(process.wait(60), 0)
        followed = process.stdout.read()
        self.assertEqual(followed, self.run_command("logs", training, "--events"))
        events = [json.loads(line) for line in followed.splitlines()]
        self.assertEqual([event["seq"] for event in events], sorted({event["seq"] for event in events}))
        self.assertEqual([event["event"] for event in events].count("checkpoint"), 2)

    def test_a_server_that_is_started_again(self):
        server = self.serve(gpus=0, arguments=self.arguments)
        server.listen = f"127.0.0.1:{serving.free_port()}"
        server.start()
        type(self).server, shared = server, self.server
        self.addCleanup(setattr, type(self), "server", shared)
        self.addCleanup(self.remove_all)
        training = self.running()
        following = self.begin("logs", training, "-f", "--events", server=server.url)
        following.stdout.readline()
        server.stop()
        time.sleep(1)
        server.start()
        waiting = self.begin("pause", training, "--wait", server=server.url)
        self.assertEqual((waiting.wait(60), following.wait(60)), (0, 0))
        events = [json.loads(line) for line in following.stdout.read().splitlines()]
        self.assertEqual((events[-1]["event"], following.stderr.read()), ("paused", ""))

    def test_ctrl_c(self):
        process = self.begin("logs", self.running(), "-f", "--events")
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.wait(20), process.stderr.read()), (130, ""))


class Download(TrainingCommandsTest):
    def finished(self):
        training = self.submit(name="of/mine")
        self.reach(training, "completed")
        return training

    def check_same(self, folder, source):
        self.assertEqual(sorted(path.name for path in folder.iterdir()), sorted(path.name for path in source.iterdir()))
        for path in source.iterdir():
            self.assertEqual((folder / path.name).read_bytes(), path.read_bytes(), path)

    def test_the_sae(self):
        training = self.finished()
        source, folder = self.run_folder(training) / "sae", self.server.folder / f"of_mine-{training}/sae"
        self.assertEqual(self.run_command("download", training), f"of_mine-{training}/sae\n")
        self.check_same(folder, source)
        self.run_command("download", "of/mine")  # the same again
        named = self.json("download", training, "--out", "here")
        self.assertEqual((named["id"], named["folder"]), (training, "here"))
        self.assertEqual({file["name"]: file["bytes"] for file in named["files"]},
                         {path.name: path.stat().st_size for path in source.iterdir()})
        for content in ("other", (source / "cfg.json").read_text().replace("{", "[")):  # of another and of the same size
            (folder / "cfg.json").write_text(content)
            self.run_command("download", training, code=64)
            self.assertIn("cfg.json is there and differs", self.stderr)
            self.assertEqual((folder / "cfg.json").read_text(), content)
        self.run_command("download", training, "--force")
        self.check_same(folder, source)

    def test_a_checkpoint(self):
        training = self.running(name="saves")
        self.run_command("pause", training, "--wait")
        [checkpoint] = self.server.get(f"trainings/{training}/checkpoints").json["data"]
        source = self.run_folder(training) / "checkpoints" / checkpoint["name"]
        self.assertEqual(self.run_command("download", training, "--checkpoint", checkpoint["step"]),
                         f"saves-{training}/checkpoints/{checkpoint['name']}\n")
        self.check_same(self.server.folder / f"saves-{training}/checkpoints" / checkpoint["name"], source)
        self.run_command("download", training, "--checkpoint", checkpoint["name"], "--out", "named")
        self.check_same(self.server.folder / "named", source)
        self.run_command("download", training, "--checkpoint", "7", code=64)
        self.assertIn(checkpoint["name"], self.stderr)
        self.run_command("download", training, code=64)
        self.assertIn("no finished SAE", self.stderr)

    def test_it_goes_on_where_it_broke_off(self):
        training = self.finished()
        source = self.run_folder(training) / "sae"
        asks_for_weights = "GET /api/v1/trainings/" + training + "/sae/sae_weights.safetensors "

        def lose(_, request, answer):
            return answer[:100_000] if request.startswith(asks_for_weights) else answer

        proxy = FlakyProxy(self.server.port, lose)
        self.addCleanup(proxy.close)
        self.run_command("download", training, "--out", "pieces", server=proxy.url)
        self.check_same(self.server.folder / "pieces", source)
        ranges = [request.split("Range: bytes=")[1].split("-")[0] for request in proxy.requests if "Range: bytes=" in request]
        self.assertGreater(len(ranges), 2)
        self.assertEqual(sorted(map(int, ranges)), list(map(int, ranges)))

        # The next command goes on as well.
        proxy.lose = lambda number, request, answer: b"" if "Range: bytes=" in request else lose(number, request, answer)
        self.run_command("download", training, "--out", "later", server=proxy.url, code=75)
        folder = self.server.folder / "later"
        self.assertEqual([path.name for path in folder.iterdir()], [".download"])
        proxy.lose, proxy.requests = lambda number, request, answer: answer, []
        self.run_command("download", training, "--out", "later", server=proxy.url)
        self.check_same(folder, source)
        asked = [request for request in proxy.requests if request.startswith(asks_for_weights)]
        self.assertEqual(len(asked), 1)
        self.assertIn("Range: bytes=", asked[0])
        shutil.rmtree(folder)

    def test_no_name_leads_out_of_the_folder(self):
        training = self.finished()
        bad = b'{"data":[{"name":"../../evil","bytes":4}]}'

        def lie(_, request, answer):
            if not request.startswith(f"GET /api/v1/trainings/{training}/sae "):
                return answer
            return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(bad), bad)

        proxy = FlakyProxy(self.server.port, lie)
        self.addCleanup(proxy.close)
        self.run_command("download", training, server=proxy.url, code=65)
        self.assertIn("evil", self.stderr)


if __name__ == "__main__":
    serving.main()
