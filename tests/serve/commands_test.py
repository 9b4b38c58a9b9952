"""The commands that ask the server which runs, and look themselves where none does."""
import json

import serving


class Commands(serving.ServingTest):
    def json(self, server, *words, code=0, **environment):
        answer = server.run(*words, "--json", **environment)
        self.assertEqual(answer.returncode, code, answer)
        return json.loads(answer.stdout)

    def test_the_server_is_asked(self):
        server = self.serve(gpus=4).start()
        server.environment["FAKE_NVML_SCENARIO"] = "/dev/null"  # what the commands themselves would see
        self.assertEqual([gpu["uuid"] for gpu in self.json(server, "gpus")["gpus"]], [serving.gpu_uuid(i) for i in range(4)])
        self.assertEqual(self.json(server, "gpus", "list", "--available")["gpu_count"], 4)
        self.assertIn("NVIDIA H200", server.run("gpus").stdout)
        choices = self.json(server, "gpus", "recommend", "--count", "2", "--exclude", "gpu:0", "--exclude", "1")["choices"]
        self.assertEqual(choices[0]["gpu_ids"], [2, 3])
        self.assertIn("gpu:2,gpu:3", server.run("gpus", "recommend", "--count", "2", "--exclude", "0", "--exclude", "1").stdout)
        self.assertTrue(self.json(server, "gpus", "validate", "0", "gpu:3")["valid"])
        wrong = self.json(server, "gpus", "validate", "0", "9", code=1)
        self.assertEqual((wrong["errors"][0]["code"], wrong["gpu_ids"]), ("does_not_exist", [0]))

    def test_both_answer_alike(self):
        server = self.serve(gpus=4)
        questions = [(("gpus", "recommend", "--count", "5"), 1), (("gpus", "recommend", "--count", "2"), 0),
                     (("gpus", "validate", "0", "0", "--memory", "999999"), 1), (("gpus", "validate", "0", "1"), 0)]
        alone = [self.json(server, *words, code=code) for words, code in questions]
        server.start()
        self.assertEqual([self.json(server, *words, code=code) for words, code in questions], alone)
        self.assertEqual(server.run("gpus", "recommend", "--count", "5").returncode, 1)

    def test_estimates_are_alike_too(self):
        server = self.serve(gpus=4)
        path, elsewhere = server.folder / "config.json", server.folder / "elsewhere.json"
        config = {"activations": {"path": str(serving.ACTIVATIONS)}, "sae": {"d_sae": 512}, "train": {"epochs": 2}}
        path.write_text(json.dumps(config))
        elsewhere.write_text(json.dumps(config | {"activations": {"path": "/not/here"}}))
        each = server.folder / "each.json"
        each.write_text(json.dumps(config | {"train": {"epochs": 2, "batch_size_per_device": 1024}}))
        questions = [(path, "--devices", "gpu:1,gpu:3"), (path, "--devices", "auto:2"), (path, "--devices", "gpu:9"), (each, "--devices", "auto:2"),
                     ("--model", "gpt2", "--d-sae", "4096")]
        alone = [self.json(server, "estimate", *map(str, words)) for words in questions]
        self.assertIn("a server (`saemill serve`) learns it", server.run("estimate", str(path)).stdout)
        server.start()
        self.assertEqual([self.json(server, "estimate", *map(str, words)) for words in questions], alone)
        self.assertIn("has run no training on such devices yet", server.run("estimate", str(path)).stdout)
        unknown = server.run("estimate", str(elsewhere))  # neither this command nor the server sees the activations
        self.assertEqual(unknown.returncode, 64, unknown)
        wrong = server.run("estimate", str(path), "--set", "activations.d_in=99")
        self.assertEqual(wrong.returncode, 78, wrong)
        self.assertIn(str(path), wrong.stderr)
        both = server.run("estimate", "--calibrate", "--server", server.url)
        self.assertEqual(both.returncode, 64, both)

    def test_a_server_that_is_named_must_answer(self):
        server = self.serve(gpus=2).start()
        # --data is in every command of run(); SAEMILL_SERVER counts where neither option is given.
        named = self.json(server, "gpus", "--server", server.url)
        self.assertEqual(named["gpu_count"], 2)
        server.stop()
        nobody = server.run("gpus", "--server", server.url)
        self.assertEqual(nobody.returncode, 75, nobody)
        self.assertIn(server.url, nobody.stderr)
        self.assertEqual(server.run("gpus", "--server", "https://localhost").returncode, 64)
        self.assertEqual(server.run("gpus").returncode, 0)
        refused = self.serve(gpus=2).start().run("gpus", "--server", server.url, SAEMILL_TOKEN="x" * 43)
        self.assertEqual(refused.returncode, 75)

    def test_cpu_slots_are_looked_at_here(self):
        server = self.serve(gpus=2).start()
        kinds = [gpu["kind"] for gpu in self.json(server, "gpus", "--cpu-slots", "3")["gpus"]]
        self.assertEqual(kinds.count("cpu"), 3)

    def test_a_wrong_token_is_said(self):
        server = self.serve(gpus=2).start()
        wrong = server.run("gpus", "--server", server.url, SAEMILL_TOKEN="x" * 43)
        self.assertEqual(wrong.returncode, 64, wrong)
        self.assertIn("token", wrong.stderr)


if __name__ == "__main__":
    serving.main()
