"""The server goes on when what it depends on does not."""
import time
import unittest

import serving
from postgres import Postgres
from serving import eventually, gpu_uuid
from small_disk import SmallDisk


class DatabaseAway(serving.ServingTest):
    def setUp(self):
        self.postgres = Postgres()
        self.addCleanup(self.postgres.close)
        self.server = self.serve(gpus=4, arguments=["--database", self.postgres.url]).start()

    def health(self):
        return self.server.ask("GET", "/healthz", token="").json["status"]

    def heat(self, degrees):
        self.server.scenario["gpus"][2]["temperature"] = degrees
        self.server.write()

    def stored(self):
        answer = self.server.get("events?limit=500")
        return answer.status == 200 and answer.json["data"][::-1]

    def test_it_is_away_and_returns(self):
        server = self.server
        process, cookie = server.process.pid, server.sign_in()
        self.heat(95)
        self.assertTrue(eventually(lambda: len(self.stored()) == 1))
        self.postgres.crash()
        away = time.time()
        problem = eventually(lambda: (answer := server.get("events")).status == 503 and answer)
        self.check_problem(problem, 503, "unavailable")
        self.assertIsNotNone(problem.header("Retry-After"))
        self.assertNotIn("saemill@", problem.json["detail"].replace(self.postgres.url, ""))
        self.assertTrue(eventually(lambda: self.health() == "degraded"))
        self.heat(40)  # what happens now is kept
        for _ in range(3):
            sampled = server.get("system/gpus/0").json["sampled_at"]
            self.assertTrue(eventually(lambda: server.get("system/gpus/0").json["sampled_at"] > sampled))
        self.assertEqual(server.get("system/gpus", cookie=cookie).status, 200)  # known without the database
        self.check_problem(server.ask("GET", "/login?code=" + server.new_code(), token=""), 503, "unavailable")
        self.check_problem(server.get("system/gpus/0/history"), 503, "unavailable")
        self.assertTrue(eventually(lambda: server.get("server").json["history"]["waiting"] > 0))
        self.assertIn("saemill_database_up 0", server.ask("GET", "/metrics").body.decode())
        self.assertTrue(eventually(lambda: time.time() > away + 6))  # store_away is said after 5 s
        back = time.time()
        self.postgres.start()
        self.assertTrue(eventually(lambda: self.health() == "ok"))
        codes = [("hot", False), ("hot", True), ("store_away", False), ("store_away", True)]
        events = eventually(lambda: (found := self.stored()) and len(found) >= len(codes) and found)
        self.assertEqual([(event["code"], event["over"]) for event in events], codes)
        self.assertTrue(eventually(lambda: server.get("server").json["history"]["waiting"] == 0))
        described = server.get("server").json
        self.assertEqual([described[name][field] for name in ("history", "events") for field in ("dropped", "error")], [0, "", 0, ""])
        self.check_history(int(away) + 1, int(back))
        self.assertEqual((server.process.pid, server.process.poll()), (process, None))

    def check_history(self, begin, end):
        history = self.server.get(f"system/gpus/2/history?from={begin}&to={end}&buckets=5000&fields=temperature").json
        self.assertEqual((history["bucket_s"], history["time"]), (1, list(range(begin, end))))
        self.assertNotIn(None, history["temperature"]["mean"])
        # One row for each GPU and second, of no more samples than were taken: a batch written twice would count double.
        rows = self.postgres.query(f"SELECT uuid, COUNT(*), COUNT(DISTINCT time), SUM(samples) FROM gpu_metrics_history"
                                   f" WHERE bucket_s = 1 AND time BETWEEN {begin} AND {end - 1} GROUP BY uuid ORDER BY uuid")
        self.assertEqual([row[0] for row in rows], [gpu_uuid(i) for i in range(4)])
        for _, count, seconds, samples in rows:
            self.assertEqual((int(count), int(seconds)), (end - begin, end - begin))
            self.assertLessEqual(abs(int(samples) - 4 * (end - begin)), 3)

    def test_it_hangs(self):
        self.postgres.freeze()
        self.addCleanup(self.postgres.thaw)
        for _ in range(3):
            sampled = self.server.get("system/gpus/0").json["sampled_at"]
            self.assertTrue(eventually(lambda: self.server.get("system/gpus/0").json["sampled_at"] > sampled, 3))

    def test_away_at_the_start(self):
        self.server.stop()
        self.postgres.crash()
        answer = self.server.run("serve", "--listen", "127.0.0.1:0", "--database", self.postgres.url)
        self.assertEqual(answer.returncode, 75, answer)
        self.assertIn(str(self.postgres.port), answer.stderr)
        self.postgres.start()
        self.server.start()

    def test_it_ends_while_the_database_is_away(self):
        self.postgres.crash()
        self.assertTrue(eventually(lambda: self.health() == "degraded"))
        self.assertEqual(self.server.stop(), 0)


class FullDisk(serving.ServingTest):
    def setUp(self):
        self.server = self.serve(gpus=16)
        self.server.data.mkdir()
        self.disk = SmallDisk(self.server.data, mebibytes=1)
        self.addCleanup(self.disk.close)
        self.addCleanup(self.server.stop)

    def test_it_says_so_and_goes_on(self):
        server = self.server.start()
        self.assertTrue(eventually(lambda: server.get("system/gpus/0/history").json["time"]))
        self.disk.fill()
        described = eventually(lambda: (found := server.get("server").json)["history"]["error"] and found)
        self.assertTrue(described, server.get("server"))
        self.assertIn("full", described["history"]["error"])
        self.assertEqual(described["database"], f"sqlite:{server.data}/saemill.db")
        self.assertIn("saemill_database_up 0", server.ask("GET", "/metrics").body.decode())
        self.assertTrue(eventually(lambda: server.ask("GET", "/healthz", token="").json["status"] == "degraded"), "healthz")
        for _ in range(3):
            sampled = server.get("system/gpus/0").json["sampled_at"]
            self.assertTrue(eventually(lambda: server.get("system/gpus/0").json["sampled_at"] > sampled))
        self.assertEqual(server.get("system/gpus/0/history").status, 200)
        refused = server.ask("GET", "/login?code=" + server.new_code(), token="")
        self.check_problem(refused, 503, "unavailable")
        self.assertIn("full", refused.json["detail"])
        self.disk.empty()
        self.assertTrue(eventually(lambda: not server.get("server").json["history"]["error"]))
        self.assertTrue(eventually(lambda: server.ask("GET", "/healthz", token="").json["status"] == "ok"))
        self.assertEqual(server.ask("GET", "/login?code=" + server.new_code(), token="").status, 303)
        events = eventually(lambda: (found := server.get("events").json["data"]) and found)
        self.assertEqual({event["code"] for event in events}, {"low_disk"})

    def test_full_at_the_start(self):
        self.disk.fill()
        answer = self.server.run("serve", "--listen", "127.0.0.1:0")
        self.assertEqual(answer.returncode, 75, answer)
        self.assertIn(str(self.server.data), answer.stderr)


if __name__ == "__main__":
    serving.main()
