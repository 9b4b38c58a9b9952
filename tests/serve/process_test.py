"""The server as a process: its start, its end, its folder."""
import json
import pathlib
import signal
import sqlite3
import stat
import subprocess

import serving
from raw import RawConnection, request


class Process(serving.ServingTest):
    def refused(self, server, *arguments):
        """What is said by a server that does not start."""
        listen = [] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]
        answer = server.run("serve", *listen, *arguments)
        self.assertEqual((answer.returncode, answer.stdout), (64, ""), answer)
        return answer.stderr

    def test_ends_when_told(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            server = self.serve().start()
            described = json.loads((server.data / "server.json").read_text())
            self.assertEqual((described["pid"], set(described)), (server.process.pid, {"url", "pid", "server_id", "version"}))
            self.assertEqual(server.stop(number), 0)
            self.assertFalse((server.data / "server.json").exists())
            self.assertEqual(server.stderr(), "")

    def test_starts_again_after_a_crash(self):
        server = self.serve().start()
        cookie, described = server.sign_in(), server.get("server").json
        self.assertEqual(server.stop(signal.SIGKILL), -signal.SIGKILL)
        self.assertTrue((server.data / "server.json").exists())
        none = server.run("login")
        self.assertEqual(none.returncode, 64, none)
        self.assertEqual(server.run("gpus", "--json").returncode, 0)  # samples itself
        server.start()
        again = server.get("server", cookie=cookie).json
        self.assertEqual(again["server_id"], described["server_id"])
        self.assertNotEqual(again["boot"], described["boot"])

    def test_a_worker_that_hangs_keeps_it_not(self):
        server = self.serve()
        worker, noted = server.folder / "worker", server.folder / "pid"
        worker.write_text(f"#!/bin/sh\necho $$ > {noted}\nexec sleep 1000\n")
        worker.chmod(0o755)
        server.arguments = ["--worker", str(worker)]
        server.start()
        with RawConnection(server.port) as connection:
            body = b'{"path": "."}'
            headers = [f"Authorization: Bearer {server.token}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
            connection.send(request("POST", "/api/v1/activations/inspect", headers, body))
            pid = serving.eventually(lambda: noted.exists() and noted.read_text().strip())
            self.assertEqual(server.get("system/gpus").status, 200)
            self.assertEqual(server.stop(), 0)
            answer = connection.answer()
            self.assertIn(answer and answer.status, (None, 503))
        self.assertFalse((server.data / "server.json").exists())
        state = pathlib.Path(f"/proc/{pid}/stat")
        self.assertTrue(serving.eventually(lambda: not state.exists() or state.read_text().split()[2] == "Z"), "the worker is left")

    def test_one_server_for_one_folder(self):
        server = self.serve().start()
        said = self.refused(server)
        self.assertIn(f"pid {server.process.pid}", said)
        self.assertIn(str(server.data), said)
        self.assertEqual(server.get("system/gpus").status, 200)
        self.assertTrue((server.data / "server.json").exists())

    def test_the_folder_is_its_owners_alone(self):
        server = self.serve().start()
        server.sign_in()
        self.assertEqual(stat.S_IMODE(server.data.stat().st_mode), 0o700)
        for path in server.data.rglob("*"):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)
        self.assertEqual(stat.S_IMODE((server.data / "token").stat().st_mode), 0o600)
        self.assertGreaterEqual(len(server.token), 43)  # 256 bits in base64
        stored = b"".join(path.read_bytes() for path in server.data.glob("saemill.db*"))
        for secret in server.secrets:
            self.assertNotIn(secret.encode(), stored)

    def test_a_folder_that_is_there_and_open_to_others(self):
        server = self.serve()
        server.data.mkdir(mode=0o755)
        (server.data / "token").write_text("a-token-made-by-hand\n")
        (server.data / "token").chmod(0o644)
        server.start()
        self.assertEqual(server.token, "a-token-made-by-hand")
        self.assertEqual(stat.S_IMODE((server.data / "token").stat().st_mode), 0o600)

    def test_a_token_too_short(self):
        server = self.serve()
        server.data.mkdir()
        (server.data / "token").write_text("short\n")
        answer = server.run("serve", "--listen", "127.0.0.1:0")
        self.assertEqual(answer.returncode, 65)
        self.assertIn("accepted: at least 16", answer.stderr)

    def test_databases_of_another_kind(self):
        server = self.serve()
        for url in ("mysql://root@localhost/saemill", "redis:6379", "nothing"):
            answer = server.run("serve", "--listen", "127.0.0.1:0", "--database", url)
            self.assertIn(answer.returncode, (64, 78), answer)
            self.assertIn("sqlite:", answer.stderr)
            self.assertIn("postgresql://", answer.stderr)

    def test_a_database_of_a_newer_saemill(self):
        server = self.serve().start()
        server.stop()
        database = sqlite3.connect(server.data / "saemill.db")
        database.execute("INSERT INTO schema_version VALUES (999, 0)")
        database.commit()
        database.close()
        answer = server.run("serve", "--listen", "127.0.0.1:0")
        self.assertEqual(answer.returncode, 78)
        self.assertRegex(answer.stderr, "saemill.db has schema version 999, .* use the newer saemill")

    def test_addresses(self):
        server = self.serve()
        for address in ("0.0.0.0:0", "[::]:0"):
            said = self.refused(server, "--listen", address)
            self.assertIn("--behind-proxy", said)
        for address in ("127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "example.org:80", ":80"):
            self.assertIn("accepted", self.refused(server, "--listen", address))
        taken = self.serve().start()
        self.assertIn("cannot listen", self.refused(server, "--listen", f"127.0.0.1:{taken.port}"))
        self.assertIn("accepted", self.refused(server, "--host", "http://example.org"))
        self.assertIn("is no folder", self.refused(server, "--activations", "/nowhere"))
        self.assertFalse((server.data / "server.json").exists())

    def test_other_names_and_version_six(self):
        server = self.serve(arguments=["--host", "Saemill.Example.ORG"]).start()
        self.assertEqual(server.get("server", headers={"Host": "saemill.example.org:8443"}).status, 200)
        self.assertEqual(server.get("server", headers={"Host": "other.example.org"}).status, 403)
        if not pathlib.Path("/proc/net/if_inet6").exists() or not pathlib.Path("/proc/net/if_inet6").read_text():
            self.skipTest("there is no IPv6")
        six = self.serve()
        process = subprocess.Popen(serving.bound_to_us([*six.command("serve"), "--listen", "[::1]:0"]), stdout=subprocess.DEVNULL,
                                   env=six.environment)
        try:
            self.assertTrue(serving.eventually((six.data / "server.json").exists))
            self.assertIn("http://[::1]:", (six.data / "server.json").read_text())
            self.assertEqual(six.run("login").returncode, 0)
        finally:
            process.terminate()
            self.assertEqual(process.wait(20), 0)


if __name__ == "__main__":
    serving.main()
