"""saemill submit and ps."""
import json
import signal
import sqlite3
import subprocess
import time

import serving
from flaky_proxy import FlakyProxy
from training_commands import ENDLESS, TrainingCommandsTest


class Submit(TrainingCommandsTest):
    def test_a_line_tells_the_training(self):
        line = self.run_command("submit", self.config(name="first"), "--hold")
        training, name, status, reason = line.rstrip("\n").split("  ", 3)
        self.assertEqual((name, status), ("first", "queued"))
        self.assertTrue(reason)
        self.assertEqual(self.get(training)["name"], "first")

    def test_options_reach_the_server(self):
        before = self.submit("--hold")
        training = self.get(self.submit("--hold", "--devices", "cpu:1,cpu:2", "--priority", 7, "--after", before,
                                        "--time-limit", "90m", "--max-restarts", 5, "--name", "renamed", "--set",
                                        "train.lr=0.001", "--set", "sae.k=16"))
        self.assertEqual({key: training[key] for key in ("asked_gpu_ids", "priority", "after", "time_limit_s", "max_restarts",
                                                         "name", "held")},
                         {"asked_gpu_ids": training["asked_gpu_ids"], "priority": 7, "after": [before], "time_limit_s": 5400,
                          "max_restarts": 5, "name": "renamed", "held": True})
        self.assertEqual([uuid[-2:] for uuid in training["asked_gpu_ids"]], ["-1", "-2"])
        self.assertEqual((training["config"]["train"]["lr"], training["config"]["sae"]["k"]), (0.001, 16))
        self.assertEqual(self.get(self.submit("--hold", "--count", 3))["device_count"], 3)
        self.assertEqual(self.get(self.submit("--hold", "--devices", "auto:2"))["device_count"], 2)
        self.assertEqual(self.get(self.submit("--hold", "--devices", "0,13"))["device_count"], 2)
        for text, seconds in (("3600", 3600), ("2h", 7200), ("1d12h", 129600), ("1m30s", 90)):
            self.assertEqual(self.get(self.submit("--hold", "--time-limit", text))["time_limit_s"], seconds)

    def test_a_relative_path_is_of_the_one_who_submits(self):
        (self.server.folder / "mine").symlink_to(serving.ACTIVATIONS)
        for path in ("mine", "./mine"):
            training = self.get(self.submit("--hold", path=path))
            self.assertEqual(training["config"]["activations"]["path"], str(serving.ACTIVATIONS))
        group = self.json("submit", self.config(path="mine"), "--hold", "--set", 'activations.path=["mine", "mine"]')
        self.assertEqual(len(group["data"]), 2)

    def test_lists_make_a_group(self):
        lines = self.run_command("submit", self.config(), "--hold", "--set", "sae.k=[4, 8]", "--set", "train.seed=[1, 2]")
        trainings = [self.get(line.split()[0]) for line in lines.splitlines()]
        self.assertEqual([(one["config"]["sae"]["k"], one["config"]["train"]["seed"]) for one in trainings],
                         [(4, 1), (4, 2), (8, 1), (8, 2)])
        self.assertEqual(len({one["group_id"] for one in trainings}), 1)
        self.assertEqual([one["id"] for one in self.json("ps")["data"]], [one["id"] for one in trainings])
        (self.server.folder / "list.toml").write_text((self.server.folder / "t.toml").read_text().replace("k = 8", "k = [4, 8]"))
        self.assertEqual(len(self.json("submit", "list.toml", "--hold")["data"]), 2)

    def test_now_or_not_at_all(self):
        now = self.submit("--now", "--devices", "cpu:11", steps=ENDLESS)
        self.assertNotEqual(self.get(now)["status"], "queued")
        self.run_command("submit", self.config(), "--now", "--devices", "cpu:11", code=1)
        self.assertIn("does not start now", self.stderr)
        self.assertEqual(len(self.json("ps")["data"]), 1)
        self.run_command("submit", self.config(), "--now", "--hold", code=64)

    def test_what_is_wrong_is_said(self):
        def refused(*words, code=78, config=None):
            self.run_command("submit", config or self.config(), *words, code=code)
            return self.stderr

        self.assertIn("t.toml: sae.k is 0", refused("--set", "sae.k=0"))
        self.assertIn("did you mean sae.k", refused("--set", "sae.kk=1"))
        (self.server.folder / "odd.toml").write_text("[sae]\nkk = 1\n")
        self.assertIn("odd.toml: sae.kk is not a configuration key", refused(config="odd.toml"))
        (self.server.folder / "odd.toml").write_text("sae = 1\n")
        self.assertIn("odd.toml", refused("--set", "sae.k=1", config="odd.toml"))
        (self.server.folder / "odd.toml").write_text("[sae\n")
        self.assertIn("odd.toml, line 1", refused(config="odd.toml"))
        refused(config="nothing.toml", code=65)
        self.assertIn("activations", refused("--set", "activations.path=/etc", code=64))
        for words in (("--devices", "cpu:16"), ("--devices", ","), ("--devices", "cpu:0", "--count", 2), ("--count", 0),
                      ("--time-limit", "soon"), ("--time-limit", "0"), ("--time-limit", "1x"), ("--priority", 101),
                      ("--after", "nothing"), ("--after", "aaaaaaaaaaaaaaaa"), ("--max-restarts", -1), ("--set", "train.lr")):
            refused(*words, code=64)
        self.assertEqual(self.json("ps", "--all")["data"], [])

    def test_a_lost_answer_makes_no_second_training(self):
        # The request arrives; its answer does not.
        proxy = FlakyProxy(self.server.port, lambda number, request, answer: b"" if number == 0 else answer)
        self.addCleanup(proxy.close)
        training = self.json("submit", self.config(), "--hold", server=proxy.url)
        self.assertEqual(len(proxy.requests), 2)
        self.assertEqual([one["id"] for one in self.json("ps")["data"]], [training["id"]])

    def test_nobody_answers(self):
        begun = time.monotonic()
        self.run_command("submit", self.config(), server=f"http://127.0.0.1:{serving.free_port()}", code=75)
        self.assertGreater(time.monotonic() - begun, 2)  # it has tried again


class Ps(TrainingCommandsTest):
    def rows(self, *words):
        return self.run_command("ps", *words).splitlines()

    def test_a_table(self):
        held = self.submit("--hold", "--count", 2, name="waits")
        named = self.submit("--hold", "--devices", "cpu:1,cpu:2", name="ä" * 40)
        running = self.running(name="runs")
        self.assertTrue(serving.eventually(lambda: self.get(running)["metrics"].get("fvu")))
        title, *rows = self.rows()
        self.assertEqual(title.split(), ["ID", "NAME", "STATUS", "DEVICES", "STEP/TOTAL", "FVU", "SPEED", "AGE", "REASON"])
        self.assertEqual([row.split()[0] for row in rows], [held, named, running])  # the newest last
        self.assertEqual(rows[0].split()[1:5], ["waits", "queued", "2", "any"])
        self.assertEqual(rows[1].split()[1:4], ["ä" * 32, "queued", "cpu:1-2"])
        self.assertIn("held", rows[0])
        words = rows[2].split()
        self.assertEqual(words[1:3], ["runs", "running"])
        self.assertRegex(words[3], r"^cpu:\d+$")
        self.assertRegex(words[4], f"^[0-9]+/{ENDLESS}$")
        self.assertRegex(rows[2], r"0\.\d{4}  +\d+\.\dk/s  +\d+s")

    def test_lines_are_cut_at_the_edge(self):
        self.submit("--hold", name="waits")
        for width in range(20, 90, 7):
            command = " ".join(self.command("ps"))
            answer = subprocess.run(["script", "-qec", f"stty cols {width}; {command}", "/dev/null"], capture_output=True,
                                    text=True, timeout=60, env=self.environment(NO_COLOR="1"), check=True)
            title, row = answer.stdout.replace("\r", "").splitlines()
            self.assertLessEqual(max(len(title), len(row)), width)
            for number in ("0/20   0%", "FVU"):  # whole or not at all
                self.assertEqual(number[:3] in title + row, number in title + row, (title, row))

    def test_what_is_listed(self):
        self.assertEqual(self.rows(), ["no trainings of today; --all shows those before"])
        self.assertEqual(self.rows("--all"), ["no trainings"])
        old, done, held = self.submit("--hold"), self.submit("--hold"), self.submit("--hold")
        self.run_command("cancel", old, done)
        store = sqlite3.connect(self.server.data / "saemill.db", timeout=20)
        with store:
            store.execute("UPDATE trainings SET completed_at = completed_at - 86401000 WHERE id = ?", [old])
        store.close()

        def ids(*words):
            answer = self.json("ps", *words)
            self.assertEqual(answer["pagination"]["total"], len(answer["data"]))
            return [one["id"] for one in answer["data"]]

        self.assertEqual(ids(), [done, held])
        self.assertEqual(ids("--all"), [old, done, held])
        self.assertEqual(ids("--status", "cancelled"), [old, done])
        self.assertEqual(ids("--status", "cancelled,queued"), [old, done, held])
        self.assertEqual(ids("--status", "cancelled", "--status", "queued"), [old, done, held])
        self.assertEqual(ids("--status", "paused"), [])
        self.run_command("ps", "--status", "asleep", code=64)
        self.assertIn("accepted: queued", self.stderr)

    def test_all_pages(self):
        values = ",".join(map(str, range(1, 257)))
        for _ in range(2):
            self.run_command("submit", self.config(), "--hold", "--set", f"train.seed=[{values}]")
        self.assertEqual(len({one["id"] for one in self.json("ps")["data"]}), 512)

    def test_watch(self):
        training = self.submit("--hold")
        process = self.begin("ps", "--watch", "--interval", "0.25", "--json")
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
        self.assertEqual([look["data"][0]["id"] for look in looks], [training] * 3)
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.wait(10), process.stderr.read()), (0, ""))

    def test_names_do_not_move_the_cursor(self):
        self.submit("--hold", "--name", "a\x1b[2Jb\nc\u009bd")
        self.assertIn("a?[2Jb c", self.rows()[1])
        self.assertNotIn("\x1b", "".join(self.rows()))

    def test_without_a_server(self):
        away = self.serve(gpus=0)
        answer = away.run("ps")
        self.assertEqual(answer.returncode, 64)
        self.assertIn("saemill serve", answer.stderr)


if __name__ == "__main__":
    serving.main()
