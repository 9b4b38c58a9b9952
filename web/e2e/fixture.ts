// Each test has servers of its own, and a page that must not throw, miss a file or break the Content-Security-Policy.
import { mkdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { test as base, expect, type Page } from "@playwright/test";
import { Server, type ServerOptions } from "./server";

export { expect } from "@playwright/test";
export { ACTIVATIONS, eventually } from "./server";

const PICTURES = process.env["SAEMILL_PICTURES"] ?? join(tmpdir(), "saemill-pictures");
const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const WIDTHS = [1440, 420];
// As the server sends it, for a page that comes from a folder.
const POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

// A build of the page that is not the one in the program: SAEMILL_PAGE names its folder.
async function serve_from_folder(page: Page, origin: string, folder: string): Promise<void> {
  await page.route(
    (url) => url.origin === origin && (url.pathname === "/" || url.pathname.startsWith("/assets/")),
    (route) => {
      const { pathname } = new URL(route.request().url());
      const file = pathname === "/" ? "/index.html" : pathname;
      return route.fulfill({
        body: readFileSync(join(folder, file)),
        headers: { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": POLICY },
      });
    },
  );
}

export class PageServer extends Server {
  private readonly expected: string[] = [];

  // What the browser may complain about in this test, as a part of its words.
  expect_problem(words: string): void {
    this.expected.push(words);
  }

  is_expected(problem: string): boolean {
    return this.expected.some((words) => problem.includes(words));
  }

  // Signed in and live.
  async open(page: Page, place = ""): Promise<void> {
    const folder = process.env["SAEMILL_PAGE"];
    if (folder) await serve_from_folder(page, this.url, folder);
    const { code } = await this.post<{ code: string }>("login-codes", {});
    // Not by the page itself: what is redirected to is never taken from the folder.
    await page.context().request.get(`${this.url}/login?code=${code}`);
    await page.goto(this.url);
    await expect(page.locator("#state")).toHaveText(/^Live/);
    if (place !== "") await page.evaluate((hash) => void (location.hash = hash), place);
  }

  // What axe has to say (WCAG 2.2 AA and its best practices), and pictures for people.
  async look_at(page: Page, name: string): Promise<void> {
    mkdirSync(PICTURES, { recursive: true });
    const before = page.viewportSize();
    for (const theme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme: theme });
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        await page.waitForTimeout(400); // until charts have their new size
        const too_wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(too_wide, `${name} is wider than ${width} px`).toBeLessThanOrEqual(0);
        await page.screenshot({ path: join(PICTURES, `web-${name}-${theme}-${width}.png`), fullPage: true });
        await check_access(page, `${name}, ${theme}, ${width} px wide`);
      }
    }
    await page.emulateMedia({ colorScheme: null });
    if (before) await page.setViewportSize(before);
  }
}

interface Violation {
  id: string;
  nodes: { html: string; failureSummary: string }[];
}

async function check_access(page: Page, name: string): Promise<void> {
  await page.evaluate(`${AXE}; 0`);
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
    return (await axe.run()).violations.map(({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => html + failureSummary)]);
  });
  expect(violations, name).toEqual([]);
}

interface Fixtures {
  serve: (options?: ServerOptions) => Promise<PageServer>;
}

export const test = base.extend<Fixtures>({
  serve: async ({ page }, use) => {
    const servers: PageServer[] = [];
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error.stack ?? error)));
    page.on("console", (message) => message.type() === "error" && problems.push(`${message.text()} ${message.location().url}`));
    await use(async (options = {}) => {
      const server = new PageServer(options);
      servers.push(server);
      return (await server.start()) as PageServer;
    });
    const told = problems.filter((problem) => !servers.some((server) => server.is_expected(problem)));
    await page.close();
    for (const server of servers) await server.close();
    expect(told).toEqual([]);
  },
});
