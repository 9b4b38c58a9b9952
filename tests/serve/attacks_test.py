"""What an attacker would say, each with the answer that is due. After all of it the server is as well as before."""
import json
import os

import serving
from raw import RawConnection, frame, request, upgrade
from serving import eventually

DEVICES = "/api/v1/system/gpus"
INSPECT = "/api/v1/activations/inspect"
VALIDATE = "/api/v1/system/gpus/validate"
MEGABYTE = 1 << 20


def post(target, body, headers=(), kind="application/json", **more):
    return request("POST", target, [f"Content-Length: {len(body)}", f"Content-Type: {kind}", *headers], body, **more)


class Attacks(serving.ServingTest):
    gpus = 16

    @classmethod
    def prepare(cls):
        cls.server.activations = cls.server.folder / "activations"
        cls.server.activations.mkdir()
        (cls.server.activations / "token.safetensors").symlink_to(cls.server.data / "token")
        (cls.server.activations / "all").symlink_to("/")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.token = f"Authorization: Bearer {cls.server.token}"
        cls.cookie = f"Cookie: {cls.server.sign_in()}"
        cls.used_code = cls.server.new_code()
        cls.server.ask("GET", "/login?code=" + cls.used_code, token="")
        cls.memory = cls.server.memory()

    def attack(self, name, data, status, code=None, lines=1, has=(), lacks=()):
        """lines: of the log; 0 where the request was merely wrong."""
        with self.subTest(name):
            before = self.server.stderr().count("\n")
            with RawConnection(self.server.port) as connection:
                connection.send(data)
                answer = connection.answer()
            self.assertIsNotNone(answer, "no answer")
            self.assertEqual(answer.status, status, answer)
            if code:
                self.assertEqual(answer.json["code"], code, answer)
            self.assertTrue(eventually(lambda: self.server.stderr().count("\n") - before == lines, 5), self.server.stderr()[-1000:])
            for header in has:
                self.assertIn(header, answer.headers)
            for header in lacks:
                self.assertIsNone(answer.header(header))

    def test_a_hosts(self):
        for host in ("evil.example", f"evil.example:{self.server.port}", "localhost.evil.example", "127.0.0.1.evil.example",
                     "localhost@evil.example", "localhost:80:80", "localhost:", "localhost:99999999", "127.1", "[::1", "", None,
                     "evil\x80\xff.example"):
            for access in ([self.token], [self.cookie]):
                self.attack(f"Host {host!r}", request("GET", DEVICES, access, host=host), 403, "forbidden_host")
        self.attack("Host, of a page", request("GET", "/", host="evil.example"), 403, "forbidden_host")
        self.attack("Host, of the metrics", request("GET", "/metrics", [self.token], host="evil.example"), 403, "forbidden_host")
        self.attack("Host, twice", request("GET", DEVICES, ["Host: evil.example", self.token]), 400, "bad_request")

    def test_b_origins(self):
        def ask(name, *headers, status=403, code="forbidden_origin", body=b'{"gpu_ids":[0]}', lines=1, kind="application/json"):
            self.attack(name, post(VALIDATE, body, [self.cookie, *headers], kind), status, code, lines)
        ask("another page", "Origin: http://evil.example")
        ask("a page without origin", "Origin: null")
        ask("a page whose name begins alike", "Origin: http://localhost.evil.example")
        ask("a page whose name ends alike", "Origin: http://evil-localhost")
        ask("another scheme", "Origin: file://localhost")
        ask("another port", "Origin: http://localhost:1")
        ask("no Origin", *())
        ask("two Origins", "Origin: http://evil.example", "Origin: http://localhost", status=400, code="bad_request")
        ask("a sister site", "Origin: http://localhost", "Sec-Fetch-Site: same-site")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            ask(f"a form of {kind}", "Origin: http://evil.example", kind=kind)
            ask(f"an own form of {kind}", "Origin: http://localhost", kind=kind, status=415, code="unsupported_media_type", lines=0)
        for site in ("cross-site", "same-site", "anything"):
            self.attack(f"a GET from {site}", request("GET", DEVICES, [self.cookie, f"Sec-Fetch-Site: {site}"]), 403, "forbidden_origin")
        self.attack("a foreign sign-out", request("DELETE", "/api/v1/session", [self.cookie, "Origin: http://evil.example"]), 403,
                    "forbidden_origin")
        self.attack("a foreign token", post(VALIDATE, b"{}", [self.token, "Origin: http://evil.example"]), 403, "forbidden_origin")

    def test_c_targets(self):
        for target in ("/../token", "/%2e%2e/token", "/%2E%2E%2Ftoken", "/..%2ftoken", "/static/../token", "/./token", "//token",
                       "//evil.example/", "/a%00b", "/%", "/%zz", "/a#b", "http://localhost/healthz", "http://evil.example/",
                       f"{DEVICES}/..%2f..%2f..%2ftoken"):
            self.attack(target, request("GET", target, [self.token]), 400, "invalid_target", 0)
            self.attack(target + ", a stranger's", request("GET", target), 401, "unauthorized")
        for target in ("/token", "/server.json", "/saemill.db", "/..\\token", "/%5c..%5ctoken", "/etc/passwd", "/index.html/", "/%252e%252e/token"):
            self.attack(target, request("GET", target), 404, "not_found", 0)
        for target in ("/a\0b", "/a\x01b", "/a\x7fb", "/a b", ""):
            self.attack(repr(target), request("GET", target, [self.token]), 400, "bad_request")
        echoed = "/x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
        self.attack("a header in an id", request("GET", DEVICES + echoed, [self.token]), 404, "not_found", 0, lacks=["Set-Cookie"])
        self.attack("a header in a parameter", request("GET", "/api/v1/events?severity=" + echoed, [self.token]), 400, "invalid_parameter", 0,
                    [("Content-Type", "application/problem+json"), ("X-Content-Type-Options", "nosniff")], ["Set-Cookie"])
        self.attack("a header in a code", request("GET", "/login?code=" + echoed), 401, lacks=["Set-Cookie"])
        self.attack("a parameter twice", request("GET", "/api/v1/events?page=1&page=2", [self.token]), 400, "invalid_parameter", 0)
        self.attack("an unknown parameter", request("GET", "/api/v1/events?format=exec", [self.token]), 400, "invalid_parameter", 0)

    def test_d_paths(self):
        for path in ("token.safetensors", "all/etc/passwd", "all", "../token", "/etc/passwd", str(self.server.data / "token"), "all/nowhere"):
            body = json.dumps({"path": path}).encode()
            self.attack(path, post(INSPECT, body, [self.token]), 403, "path_not_allowed")
        for path in ('""', '"a\\u0000b"', f'"{"a" * 5000}"', "7", "null"):
            self.attack(path[:20], post(INSPECT, f'{{"path": {path}}}'.encode(), [self.token]), 422, "invalid_request", 0)

    def test_e_sizes(self):
        long = "a" * 9000
        self.attack("a long target", request("GET", "/" + long, [self.token]), 431, "too_large")
        self.attack("a long header", request("GET", "/", ["X: " + long]), 431, "too_large")
        self.attack("many headers", request("GET", "/", [f"X{i}: {i}" for i in range(2000)]), 431, "too_large")
        self.attack("a head without end", b"GET / HTTP/1.1\r\n" + b"a" * MEGABYTE, 431, "too_large")
        for length in (MEGABYTE + 1, 10 ** 12, 2 ** 63 - 1):
            head = [f"Content-Length: {length}", self.token, "Content-Type: application/json"]
            self.attack(f"a body of {length}", request("POST", VALIDATE, head), 413, "too_large")
        self.attack("a large body", post(VALIDATE, b" " * (4 * MEGABYTE), [self.token]), 413, "too_large")
        self.attack("a stranger's body", request("POST", VALIDATE, ["Content-Length: 1000000"]), 401, "unauthorized")

    def test_f_lengths(self):
        def ask(name, *headers, body=b"5\r\n{    \r\n0\r\n\r\n", status=400, code="bad_request"):
            head = [self.token, "Content-Type: application/json", *headers]
            self.attack(name, request("POST", VALIDATE, head, body), status, code)
        ask("chunked", "Transfer-Encoding: chunked", status=411, code="length_required")
        ask("chunked and more", "Transfer-Encoding: gzip, chunked", status=411, code="length_required")
        ask("another coding", "Transfer-Encoding: identity", status=411, code="length_required")
        ask("chunked and a length", "Transfer-Encoding: chunked", "Content-Length: 5")
        ask("a length and chunked", "Content-Length: 5", "Transfer-Encoding: chunked")
        ask("two lengths", "Content-Length: 5", "Content-Length: 6")
        ask("the same length twice", "Content-Length: 5", "Content-Length: 5")
        for length in ("-1", "+5", "5, 5", "0x5", "5 5", "99999999999999999999999", "five", ""):
            ask(f"a length of {length!r}", f"Content-Length: {length}")
        with RawConnection(self.server.port) as connection:  # what comes after the length is another request, or none
            connection.send(post(VALIDATE, b'{"gpu_ids": [0]}', [self.token]) + b" " * MEGABYTE)
            self.assertEqual(connection.answer().status, 200)
            self.assertIn(connection.answer().status, (400, 431))

    def test_g_methods(self):
        every = [("Allow", "GET, HEAD, POST, DELETE")]
        for method in ("PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 100):
            self.attack(method, request(method, DEVICES, [self.token]), 405, "method_not_allowed", 1, every)
        self.attack("OPTIONS *", request("OPTIONS", "*", [self.token]), 405, "method_not_allowed", 1, every)
        for method, target, allowed in (("DELETE", DEVICES, "GET, HEAD"), ("POST", DEVICES, "GET, HEAD"), ("POST", "/", "GET, HEAD"),
                                        ("GET", VALIDATE, "POST"), ("GET", "/api/v1/session", "POST, DELETE")):
            self.attack(f"{method} {target}", request(method, target, [self.token]), 405, "method_not_allowed", 0, [("Allow", allowed)])

    def test_h_identities(self):
        token = self.server.token
        cookie = "saemill_session_" + (self.server.data / "server_id").read_text()[:8]
        wrong = [[], ["Authorization: Bearer"], ["Authorization: Bearer "], [f"Authorization: Bearer {token[:-1]}"],
                 [f"Authorization: Bearer {token}x"], [f"Authorization: Bearer {token.swapcase()}"], [f"Authorization: Basic {token}"],
                 [f"Authorization: {token}"], ["Authorization: Bearer " + "a" * 5000], [f"Cookie: {cookie}="],
                 [f"Cookie: {cookie}=a"], [f"Cookie: {cookie}={token}"], [f"Cookie: token={token}"], [f"X-Token: {token}"]]
        for headers in wrong:
            for target in (DEVICES, "/metrics", "/api/v1/nowhere"):
                self.attack(str(headers)[:30] + target, request("GET", target, headers), 401, "unauthorized", 1, [("WWW-Authenticate", "Bearer")])
        for name in ("token", "access_token", "code"):
            self.attack(f"?{name}=", request("GET", f"{DEVICES}?{name}={token}"), 401, "unauthorized")
        two = [self.token, f"Authorization: Bearer {token}x"]
        self.attack("two tokens", request("GET", DEVICES, two), 400, "bad_request")
        self.attack("a code by cookie", post("/api/v1/login-codes", b"{}", [self.cookie, "Origin: http://localhost"]), 401, "unauthorized")
        for name, code in (("used", self.used_code), ("guessed", "A" * 43), ("empty", ""), ("the token", token)):
            self.attack(f"a code that is {name}", request("GET", f"/login?code={code}"), 401, lacks=["Set-Cookie"])
        self.attack("a wrong token to sign in", post("/api/v1/session", b'{"token": "guess"}'), 401, "unauthorized", lacks=["Set-Cookie"])

    def test_i_bodies(self):
        bodies = {"deep lists": b"[" * 10_000, "deep lists that end": b"[" * 10_000 + b"]" * 10_000, "deep objects": b'{"a":' * 10_000,
                  "NaN": b'{"gpu_ids": [NaN]}', "Infinity": b'{"gpu_ids": [0], "memory_mb": Infinity}', "nothing": b"", "half": b'{"gpu_ids": [0',
                  "no UTF-8": b'{"gpu_ids": ["\xff\xfe"]}', "a lone surrogate": b'{"gpu_ids": ["\\ud800"]}', "a NUL": b'{"gpu_ids": ["\0"]}',
                  "a million digits": b"1" * 1_000_000, "two values": b"{} {}", "a BOM alone": b"\xef\xbb\xbf"}
        for name, body in bodies.items():
            self.attack(name, post(VALIDATE, body, [self.token]), 400, "invalid_json", 0)
        for body in (b"[]", b"7", b"null", b'"a"', b'{"gpu_ids": [1.5]}',
                     b'{"gpu_ids": [0], "memory_mb": 1e300}', b'{"gpu_ids": [0], "memory_mb": 18446744073709551615}', b'{"gpu_ids": {}}',
                     b'{"gpu_ids": [0], "__proto__": {}}', b'{"gpu_ids": [' + b"0," * 2000 + b"0]}"):
            self.attack(str(body[:60]), post(VALIDATE, body, [self.token]), 422, "invalid_request", 0)

    def test_j_other_protocols(self):
        for name, data in (("HTTP/0.9", b"GET /\r\n\r\n"), ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ("HTTP/9", b"GET / HTTP/9.9\r\n\r\n"),
                           ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64) + b"\r\n\r\n"),
                           ("SSH", b"SSH-2.0-OpenSSH_9\r\n\r\n"),
                           ("a space before the colon", request("GET", "/", ["X : a"])),
                           ("an escape sequence", request("GET", "/", ["X: \x1b[31m"])), ("bare newlines", b"GET / HTTP/1.1\nHost: localhost\n\n")):
            with self.subTest(name), RawConnection(self.server.port) as connection:
                connection.send(data)
                answer = connection.answer()
                self.assertEqual((answer.status, answer.json["code"]), (400, "bad_request"), answer)

    def test_k_websocket_upgrades(self):
        own = "Origin: http://localhost"
        self.attack("no identity", upgrade([own]), 401, "unauthorized")
        self.attack("a wrong token", upgrade(["Authorization: Bearer x"]), 401, "unauthorized")
        self.attack("a foreign page with a cookie", upgrade([self.cookie, "Origin: http://evil.example"]), 403, "forbidden_origin")
        self.attack("a foreign page with a token", upgrade([self.token, "Origin: http://evil.example"]), 403, "forbidden_origin")
        self.attack("a cookie without Origin", upgrade([self.cookie]), 403, "forbidden_origin")
        self.attack("another site", upgrade([self.cookie, own, "Sec-Fetch-Site: cross-site"]), 403, "forbidden_origin")
        self.attack("another Host", upgrade([self.token], host="evil.example"), 403, "forbidden_host")
        self.attack("a token in the query", upgrade().replace(b"/ws", b"/ws?token=" + self.server.token.encode()), 404, "not_found", 0)
        self.attack("no upgrade", request("GET", "/ws", [self.token]), 426, "upgrade_required")
        self.attack("a wrong version", upgrade([self.token], version="12"), 426)
        self.attack("no key", upgrade([self.token]).replace(b"Sec-WebSocket-Key", b"X-Key"), 400)

    def test_l_frames(self):
        deep = b'{"op":"subscribe","channel":"events","since":' + b"[" * 32_000 + b"]" * 32_000 + b"}"
        for name, data, code in (
                ("unmasked", frame(b"{}", masked=False), 1002), ("a megabyte", frame(b" " * MEGABYTE), 1009), ("no UTF-8", frame(b"\xff\xfe"), 1007),
                ("a megabyte in pieces", b"".join([frame(b"{", first=0)] + [frame(b" " * 1000, 0, 0)] * 1000), 1009),
                ("a ping in pieces", frame(b"", 9, 0), 1002), ("a long ping", frame(b"a" * 126, 9), 1002), ("an unknown opcode", frame(b"", 3), 1002),
                ("an unknown control opcode", frame(b"", 11), 1002), ("reserved bits", frame(b"", 1, 0xf0), 1002),
                ("a piece of nothing", frame(b"", 0), 1002),
                ("a close of one byte", frame(b"a", 8), 1002), ("a close with a wrong code", frame(b"\x03\xec", 8), 1002),
                ("a deep number", frame(deep) + frame(b"", 8), 1000)):
            with self.subTest(name), RawConnection(self.server.port) as connection:
                connection.send(upgrade([self.token]))
                self.assertEqual(connection.answer().status, 101)
                connection.send(data)
                self.assertEqual(connection.close_code(), code)
        with RawConnection(self.server.port) as connection:
            connection.send(upgrade([self.token]))
            connection.answer()
            connection.frame()
            for text in ("7", "[]", "no JSON", "{}", '{"op": "exec", "channel": "events"}', '{"op": "subscribe", "channel": "../token"}',
                         '{"op": "subscribe", "channel": 7}', '{"op": "subscribe", "channel": "events", "since": -1}', "[" * 30_000):
                connection.send(frame(text.encode()))
                answer = json.loads(connection.frame()[1])
                self.assertEqual(answer["event"], "error", text[:50])
            connection.send(frame(b"", 8))
            self.assertEqual(connection.close_code(), 1000)

    def test_m_those_who_wait(self):
        """Half a request, or an answer that nobody takes, is no burden for others. When it ends is server_test's matter."""
        self.addCleanup(lambda: [one.__exit__() for one in waiting])
        waiting = [RawConnection(self.server.port) for _ in range(200)]
        parts = [b"", b"GET / HTTP/1.1\r\nHost: loc", post(VALIDATE, b"{}", [self.token])[:-1]]
        for i, one in enumerate(waiting):
            one.send(parts[i % 3])
        for one in waiting[::3][:4]:  # more than the kernel's buffers hold
            one.send(request("GET", "/api/v1/openapi.json", [self.token]) * 100)
        for _ in range(20):
            self.assertEqual(self.server.get("system/gpus").status, 200)
        self.assertTrue(eventually(lambda: self.server.get("server").json["connections"] >= 200))

    def test_n_a_flood_fills_no_disk(self):
        server = self.serve().start()  # since whoever else comes from this address has to wait, too
        refused = sum(server.get("server", token="").status in (401, 429) for _ in range(3000))
        self.assertEqual(refused, 3000)
        self.assertLess(server.stderr().count("\n"), 2000)
        self.assertTrue(eventually(lambda: server.get("system/gpus").status == 200))

    def test_z_the_server_is_as_well_as_before(self):
        self.assertEqual(self.server.get("system/gpus").json["gpu_count"], 16)
        self.assertEqual(self.server.ask("GET", "/healthz", token="").json, {"status": "ok"})
        self.assertTrue(eventually(lambda: self.server.get("server").json["connections"] == 1, 30), self.server.get("server"))
        self.assertLess(self.server.memory() - self.memory, 50 * MEGABYTE)
        for line in self.server.stderr().splitlines():
            self.assertRegex(line, r"^\S+Z warning refused \d{3,4} ")
        self.server.check_log()


if __name__ == "__main__":
    serving.main()
