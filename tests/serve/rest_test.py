"""Every endpoint, as a client of another make sees it."""
import json
import os
import time

import serving
from serving import ACTIVATIONS, eventually, gpu_uuid

CONFIG = {"activations": {"path": str(ACTIVATIONS)}, "sae": {"architecture": "topk", "d_sae": 2048, "k": 32},
          "train": {"batch_size": 2048, "lr": 4e-4, "steps": 1500}}


class Devices(serving.ServingTest):
    gpus = 16

    def test_all_as_in_the_scenario(self):
        answer = self.server.get("system/gpus").json
        self.assertEqual(answer["gpu_count"], 16)
        for i, device in enumerate(answer["gpus"]):
            expected = {"index": i, "uuid": gpu_uuid(i), "kind": "gpu", "name": "NVIDIA H200", "pci_bus_id": f"00000000:{16 + i:02x}:00.0",
                        "memory_total": 150_000_000_000, "memory_used": 1_000_000 * (i + 1), "memory_reserved": 600_000_000,
                        "memory_free": 149_400_000_000 - 1_000_000 * (i + 1), "utilization": i, "memory_utilization": i + 1,
                        "temperature": 30 + i, "power_draw": 70.5 + i, "power_limit": 700, "fan_speed": 20 + i,
                        "clocks": {"sm": 1980, "memory": 2619}, "throttle": [], "compute_mode": "default", "processes": [],
                        "health": {"ok": True, "reasons": []}, "availability": "free", "is_busy": False}
            self.assertEqual({name: device.get(name) for name in expected}, expected)
            self.assertEqual((device["ecc"]["corrected"], device["ecc"]["uncorrected"]), (3, 0))

    def test_rates_come_with_the_second_sample(self):
        def rates():
            device = self.server.get("system/gpus/2").json
            return "pcie" in device and "nvlink" in device and device
        device = eventually(rates)
        for link, way, rate in (("pcie", "tx", 5e6), ("pcie", "rx", 8e6), ("nvlink", "tx", 20.48e6), ("nvlink", "rx", 40.96e6)):
            self.assertAlmostEqual(device[link][way] / rate, 1, delta=0.25)

    def test_one_by_index_uuid_and_name(self):
        for name in ("3", gpu_uuid(3), "gpu:3"):
            device = self.server.get(f"system/gpus/{name}").json
            self.assertEqual((device["index"], device["temperature"]), (3, 33))
        for name in ("16", "-1", "gpu:16", "cpu:0", "GPU-ffffffff", "x", "3.0", "99999999999999999999"):
            self.check_problem(self.server.get(f"system/gpus/{name}"), 404, "not_found")
        self.assertEqual(self.server.get("system/gpus/3/").status, 404)

    def test_the_command_line_asks_the_server(self):
        self.assertEqual(json.loads(self.server.run("gpus", "--json").stdout)["gpu_count"], 16)

    def test_aggregate(self):
        answer = self.server.get("system/metrics").json
        self.assertEqual(answer, self.server.get("system/metrics?view=aggregated").json)
        self.assertEqual((answer["gpu_count"], answer["total_memory_used"], answer["total_memory_total"]), (16, 136_000_000, 16 * 150_000_000_000))
        self.assertEqual((answer["average_utilization"], answer["max_utilization"], answer["max_temperature"]), (7.5, 15, 45))
        self.assertEqual((answer["total_power_draw"], answer["counts"]["free"]), (16 * 70.5 + 120, 16))
        self.assertEqual(len(self.server.get("system/metrics?view=per_gpu").json["gpus"]), 16)
        self.check_problem(self.server.get("system/metrics?view=other"), 400, "invalid_parameter")

    def test_host(self):
        host = self.server.get("system/host").json
        self.assertEqual((host["host"], host["cpu"]["cores"]), (os.uname().nodename, os.cpu_count()))
        self.assertEqual(host["disk"]["path"], str(self.server.data.resolve()))
        self.assertGreater(host["memory"]["total"], host["memory"]["used"])

    def test_history(self):
        path = f"system/gpus/3/history?from={int(time.time())}&buckets=5000"
        history = eventually(lambda: (found := self.server.get(path).json) and len(found["time"]) >= 3 and found)
        self.assertEqual((history["uuid"], history["bucket_s"]), (gpu_uuid(3), 1))
        self.assertEqual(history["time"], sorted(set(history["time"])))
        lengths = {len(history[field][kind]) for field in ("utilization", "memory_used", "pcie_tx") for kind in ("min", "mean", "max")}
        self.assertEqual(lengths | {len(history["job"])}, {len(history["time"])})
        self.assertEqual({*history["temperature"]["mean"]}, {33})
        some = self.server.get(path + "&fields=temperature,power_draw").json
        self.assertEqual(set(some), {"uuid", "bucket_s", "time", "temperature", "power_draw", "job"})
        self.assertEqual(self.server.get("system/gpus/GPU-gone/history").json["time"], [])
        for wrong, status in (("16/history", 404), ("3/history?from=yesterday", 400), ("3/history?buckets=0", 400),
                              ("3/history?fields=nothing", 422)):
            self.assertEqual(self.server.get("system/gpus/" + wrong).status, status, wrong)

    def test_unchanged_is_not_sent_again(self):
        for target in ("/api/v1/openapi.json", "/api/v1/config-schema", "/", "/login.js"):
            first = self.server.ask("GET", target)
            again = self.server.ask("GET", target, headers={"If-None-Match": first.header("ETag")})
            self.assertEqual((first.status, again.status, again.body), (200, 304, b""))
            self.assertEqual(self.server.ask("GET", target, headers={"If-None-Match": '"other"'}).status, 200)

    def test_head(self):
        for target in ("/", "/healthz", "/api/v1/openapi.json"):
            head, whole = (self.server.ask(method, target) for method in ("HEAD", "GET"))
            self.assertEqual((head.status, head.body, head.header("Content-Length")), (200, b"", str(len(whole.body))))

    def test_what_there_is_to_know(self):
        self.assertEqual(self.server.ask("GET", "/healthz", token="").json, {"status": "ok"})
        described = self.server.get("server").json
        self.assertEqual((described["driver"]["state"], described["driver"]["driver_version"]), ("answering", "570.86.10"))
        self.assertEqual(self.server.get("config-schema").json["$schema"], "https://json-schema.org/draft/2020-12/schema")
        self.assertIn("fvu", [row["name"] for row in self.server.get("metric-catalog").json["data"]])
        self.assertIn(b"DCGM_FI_DEV_GPU_TEMP{", self.server.ask("GET", "/metrics").body)

    def test_the_description_names_what_answers(self):
        paths = self.server.get("openapi.json").json["paths"]
        for path, methods in paths.items():
            for method in methods:
                answer = self.server.ask(method.upper(), path.replace("{id}", "0"), token="wrong")
                self.assertIn(answer.status, (200, 401, 422), f"{method} {path}")
        self.assertEqual(self.server.get("nothing").status, 404)


class CpuSlots(serving.ServingTest):
    gpus = 0
    arguments = ("--cpu-slots", "3")

    def test_slots(self):
        answer = self.server.get("system/gpus").json
        self.assertEqual([device["kind"] for device in answer["gpus"]], ["cpu"] * 3)
        self.assertEqual([device["uuid"] for device in answer["gpus"]], [f"CPU-{os.uname().nodename}-{i}" for i in range(3)])
        self.assertEqual(self.server.get("system/gpus/cpu:1").json["index"], 1)
        self.assertNotIn("temperature", answer["gpus"][0])
        self.assertEqual(self.server.get("system/gpus/gpu:0").status, 404)
        self.assertIsNone(self.server.get("system/metrics").json.get("max_temperature"))

    def test_planning(self):
        self.assertEqual(len(self.server.get("system/gpus/recommend?count=2").json["choices"][0]["gpu_ids"]), 2)
        self.check_problem(self.server.get("system/gpus/recommend?kind=gpu"), 409, "insufficient_gpus")
        estimate = self.server.post("trainings/estimate", {"config": CONFIG, "device_count": 2}).json
        self.assertEqual([device["gpu"] for device in estimate["devices"]], ["cpu:0", "cpu:1"])


class Planning(serving.ServingTest):
    gpus = 16

    @classmethod
    def prepare(cls):
        for i in (12, 13, 14):
            cls.server.scenario["gpus"][i]["processes"] = [{"pid": os.getpid(), "memory_used": 9_000_000_000}]
        cls.server.scenario["gpus"][15]["memory_used"] = 149_000_000_000
        cls.server.write()

    def test_recommend(self):
        choices = self.server.get("system/gpus/recommend?count=4&memory_mb=1000").json["choices"]
        self.assertEqual(choices[0]["device_uuids"], [gpu_uuid(i) for i in choices[0]["gpu_ids"]])
        for choice in choices:
            self.assertLess(max(choice["gpu_ids"]), 12)
            self.assertTrue(choice["reasons"])
        other = self.server.get("system/gpus/recommend?count=1&exclude=0,gpu:1," + gpu_uuid(2)).json["choices"][0]
        self.assertGreater(other["gpu_ids"][0], 2)

    def test_recommend_without_success(self):
        problem = self.check_problem(self.server.get("system/gpus/recommend?count=13&memory_mb=1000"), 409, "insufficient_gpus")
        self.assertEqual((problem["asked"], problem["suitable"]), (13, 12))
        self.assertEqual([rejected["gpu"] for rejected in problem["rejected"]], [12, 13, 14, 15])
        for wrong in ("count=0", "count=x", "memory_mb=-1", "kind=tpu", "exclude=99", "count=1&count=2", "counts=1"):
            self.check_problem(self.server.get("system/gpus/recommend?" + wrong), 400, "invalid_parameter")

    def test_json_by_any_name(self):
        for kind in ("application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;charset=utf-8"):
            answer = self.server.post("system/gpus/validate", '{"gpu_ids": [0]}', headers={"Content-Type": kind})
            self.assertEqual(answer.status, 200, kind)

    def test_validate(self):
        answer = self.server.post("system/gpus/validate", {"gpu_ids": [0, "gpu:1", gpu_uuid(2)], "memory_mb": 1000}).json
        self.assertEqual((answer["valid"], answer["errors"], answer["gpu_ids"]), (True, [], [0, 1, 2]))
        for ids, code in (([99], "does_not_exist"), ([0, "gpu:0"], "named_twice"), ([12], "busy"), ([15], "memory")):
            answer = self.server.post("system/gpus/validate", {"gpu_ids": ids, "memory_mb": 1000}).json
            self.assertEqual((answer["valid"], answer["errors"][0]["code"]), (False, code), answer)
        self.assertTrue(self.server.post("system/gpus/validate", {"gpu_ids": [0], "config": CONFIG}).json["valid"])
        for body in ({}, {"gpu_ids": []}, {"gpu_ids": [0], "memory_mb": 1, "config": CONFIG}, {"gpu_ids": [0], "more": 1}):
            self.check_problem(self.server.post("system/gpus/validate", body), 422, "invalid_request")

    def test_estimate(self):
        answer = self.server.post("trainings/estimate", {"config": CONFIG, "gpu_ids": [0, 1]}).json
        self.assertEqual(answer["batch"], {"global": 2048, "per_device": 1024, "micro_batches": 1})
        for device in answer["devices"]:
            self.assertTrue(device["fits"])
            self.assertEqual(device["memory_required"], sum(device["breakdown"].values()))
        wrong = {**CONFIG, "sae": {"d_sae": 2048, "k": 0, "kk": 1}}
        problem = self.check_problem(self.server.post("trainings/estimate", {"config": wrong, "gpu_ids": [0]}), 422, "invalid_config")
        self.assertIn("/config/sae/kk", [error["pointer"] for error in problem["errors"]])

    def test_inspect(self):
        expected = {"files": 1, "rows": 16384, "d_in": 256, "dtype": "F16", "tensor": "activations", "bytes": 8388808}
        for path in (str(ACTIVATIONS), ".", "blocks.1.resid_post-00000.safetensors"):
            self.assertEqual(self.server.post("activations/inspect", {"path": path}).json, expected)
        self.check_problem(self.server.post("activations/inspect", {"path": "missing"}), 404, "not_found")
        self.check_problem(self.server.post("activations/inspect", {"path": "README.md"}), 422, "invalid_request")
        self.check_problem(self.server.post("activations/inspect", {"path": str(serving.SOURCE)}), 403, "path_not_allowed")

    def test_the_same_key_gets_the_same_answer(self):
        key = {"Idempotency-Key": "first"}
        first = self.server.post("trainings/estimate", {"config": CONFIG, "gpu_ids": [0]}, headers=key)
        again = self.server.post("trainings/estimate", {"config": CONFIG, "gpu_ids": [0]}, headers=key)
        self.assertEqual((first.header("Idempotency-Replayed"), again.header("Idempotency-Replayed")), (None, "true"))
        self.assertEqual((again.status, again.body), (first.status, first.body))
        other = self.server.post("trainings/estimate", {"config": CONFIG, "gpu_ids": [1]}, headers=key)
        self.check_problem(other, 409, "idempotency_conflict")


if __name__ == "__main__":
    serving.main()
