"""How a browser gets its session, and loses it."""
import json
import urllib.parse

import serving


class SignIn(serving.ServingTest):
    gpus = 1

    def is_signed_in(self, cookie):
        answer = self.server.get("system/gpus", cookie=cookie)
        self.assertIn(answer.status, (200, 401))
        return answer.status == 200

    def test_the_printed_link_works_once(self):
        link = "/login?code=" + self.server.printed_code()
        first = self.server.ask("GET", link, token="")
        self.assertEqual((first.status, first.header("Location"), first.body), (303, "/", b""))
        for attribute in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="):
            self.assertIn(attribute, first.header("Set-Cookie"))
        self.assertNotIn("Domain", first.header("Set-Cookie"))
        self.assertTrue(self.is_signed_in(self.server.cookie_of(first)))
        again = self.server.ask("GET", link, token="")
        self.assertEqual((again.status, again.header("Set-Cookie")), (401, None))
        self.assertIn(b"Sign in to saemill", again.body)

    def test_head_uses_no_link_up(self):
        """Chat programs and mail scanners look at links."""
        link = "/login?code=" + self.server.new_code()
        self.assertIsNone(self.server.ask("HEAD", link, token="").header("Set-Cookie"))
        self.assertEqual(self.server.ask("GET", link, token="").status, 303)

    def test_the_page(self):
        for target in ("/login", "/login.html", "/login.js", "/plain.css", "/", "/index.html"):
            answer = self.server.ask("GET", target, token="")
            self.assertEqual(answer.status, 200, target)
            self.assertIn("frame-ancestors 'none'", answer.header("Content-Security-Policy"))
            self.assertIsNone(answer.header("Access-Control-Allow-Origin"))

    def test_the_token_opens_a_session(self):
        answer = self.server.post("session", {"token": self.server.token}, token="", headers={"Origin": self.server.url})
        self.assertEqual(answer.status, 201)
        self.assertRegex(answer.json["expires_at"], r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")
        self.assertTrue(self.is_signed_in(self.server.cookie_of(answer)))
        self.check_problem(self.server.post("session", {"token": "no"}, token=""), 401, "unauthorized")

    def test_a_session_ends(self):
        cookie, other = self.server.sign_in(), self.server.sign_in()
        answer = self.server.ask("DELETE", "/api/v1/session", cookie=cookie)
        self.assertEqual(answer.status, 204)
        self.assertIn("Max-Age=0", answer.header("Set-Cookie"))
        self.assertFalse(self.is_signed_in(cookie))
        self.assertTrue(self.is_signed_in(other))

    def test_a_session_is_no_token(self):
        cookie = self.server.sign_in()
        self.check_problem(self.server.post("login-codes", {}, cookie=cookie), 401, "unauthorized")
        self.check_problem(self.server.get("system/gpus", token=cookie.split("=", 1)[1]), 401, "unauthorized")

    def test_sessions_survive_a_restart_and_codes_do_not(self):
        cookie, ended, code = self.server.sign_in(), self.server.sign_in(), self.server.new_code()
        self.server.ask("DELETE", "/api/v1/session", cookie=ended)
        token = self.server.token
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual(self.server.token, token)
        self.assertTrue(self.is_signed_in(cookie))
        self.assertFalse(self.is_signed_in(ended))
        self.assertEqual(self.server.ask("GET", "/login?code=" + code, token="").status, 401)

    def test_the_command(self):
        described = json.loads(self.server.run("login", "--json").stdout)
        self.assertEqual(set(described), {"url", "expires_at"})
        self.assertTrue(described["url"].startswith(self.server.url + "/login?code="))
        plain = self.server.run("login")
        self.assertEqual((plain.returncode, plain.stderr), (0, ""))
        for url in (described["url"], plain.stdout.strip()):
            target = urllib.parse.urlsplit(url)
            self.server.secrets.add(target.query.removeprefix("code="))
            self.assertEqual(self.server.ask("GET", f"{target.path}?{target.query}", token="").status, 303)

    def test_the_command_finds_a_named_server(self):
        elsewhere = {"SAEMILL_SERVER": self.server.url, "SAEMILL_TOKEN": self.server.token}
        data, self.server.data = self.server.data, self.server.folder / "other"
        try:
            named = self.server.run("login", "--json", "--server", self.server.url, SAEMILL_TOKEN=self.server.token)
            self.assertEqual(named.returncode, 0, named)
            none = self.server.run("login", **elsewhere)  # --data says which one is meant
            self.assertEqual(none.returncode, 64, none)
            wrong = self.server.run("login", "--server", self.server.url, SAEMILL_TOKEN="wrong")
            self.assertNotEqual(wrong.returncode, 0)
            self.assertIn("token", wrong.stderr)
        finally:
            self.server.data = data


if __name__ == "__main__":
    serving.main()
