/**
 * inspector_page.test.ts: the inspector's page in a real browser: Debian's Chromium.
 *
 * Screenshots stay in coverage/inspector/; tools/screenshots.mjs takes those of the documentation from there.
 * CORONET_INSPECTOR_PAIRS=9000 lists 18,000 connections.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { Profile } from "pprof-format";
import { Child } from "./child.ts";

const CHROMIUM = "/usr/bin/chromium";
const pictures = resolve(import.meta.dirname, "../../coverage/inspector");
const pairs = Number(process.env.CORONET_INSPECTOR_PAIRS ?? 500);
const VIEWS = ["overview", "goroutines", "connections", "poller", "objects", "trace", "reports"];
const DESK = { width: 1200, height: 720 };
const PHONE = { width: 390, height: 844 };

const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`;

/** What runs in the page sees the browser's globals; the tests are compiled without its types. */
interface PageElement {
  dataset: Record<string, string | undefined>;
  value: string;
  textContent: string;
  scrollWidth: number;
  dispatchEvent(event: Event): void;
}
declare const innerWidth: number;
declare const requestAnimationFrame: (callback: (time: number) => void) => void;
declare const document: {
  documentElement: PageElement;
  querySelector(selector: string): PageElement | null;
  querySelectorAll(selector: string): { length: number };
};

/** A page, with all that it complained about. */
interface Opened {
  page: Page;
  context: BrowserContext;
  complaints: string[];
}

describe("the inspector's page in Chromium", { skip }, () => {
  let browser: Browser;
  let child: Child;
  let url: string;
  let folder: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "coronet-inspector-"));
    child = new Child("inspected", [], {
      env: { CORONET_DEBUG_DIR: folder },
      execArgv: ["--enable-source-maps"],
      timeout: 110_000,
    });
    [browser, url] = await Promise.all([
      chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] }),
      child.line(),
    ]);
    mkdirSync(pictures, { recursive: true });
  });

  after(async () => {
    await browser?.close();
    await child?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
    console.log(`# screenshots: ${pictures}`);
  });

  async function open(viewport = DESK, theme: "dark" | "light" = "dark"): Promise<Opened> {
    const context = await browser.newContext({ viewport, colorScheme: theme });
    const page = await context.newPage();
    page.setDefaultTimeout(8000);
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        complaints.push(message.text());
      }
    });
    page.on("pageerror", (error) => complaints.push(String(error.stack)));
    page.on("request", (request) => {
      if (!/^(http:\/\/127\.0\.0\.1:|blob:)/.test(request.url())) complaints.push(request.url());
    });
    await page.goto(url);
    await page.waitForSelector(".tabs a[aria-current]");
    await page.waitForSelector(".link.on");
    return { page, context, complaints };
  }

  /** Goes to a view, and waits until there is something in it. */
  async function go(page: Page, view: string): Promise<void> {
    await page.click(`.tabs a[data-view="${view}"]`);
    const sign: Record<string, string> = {
      overview: ".uplot canvas",
      goroutines: ".grid .body .row",
      connections: ".grid .body .row",
      poller: ".machine .part.chosen",
      objects: ".waits .node",
      trace: ".timeline canvas",
      reports: ".verdicts p",
    };
    await page.waitForSelector(sign[view] as string);
  }

  for (const [name, viewport, theme] of [
    ["dark", DESK, "dark"],
    ["light", DESK, "light"],
    ["phone", PHONE, "dark"],
  ] as const) {
    test(`every view, ${name}, without a complaint of the browser's`, async () => {
      const { page, context, complaints } = await open(viewport, theme);
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), theme);
      assert.ok(!page.url().includes("token"), "the token does not stay in the address");
      for (const view of VIEWS) {
        await go(page, view);
        if (view === "trace") {
          await page.click("#view button.primary");
          await page.waitForTimeout(400);
          await page.click("#view button.primary");
          await page.waitForSelector(".timeline[data-tracks]");
        }
        // A picture needs a few ticks in it; nothing is asserted of them.
        await page.waitForTimeout(view === "overview" && name === "dark" ? 2500 : 100);
        await page.screenshot({ path: join(pictures, `${view}-${name}.png`) });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${view} is wider than its window by ${wide}`);
      }
      assert.deepEqual(complaints, []);
      await context.close();
    });
  }

  test("by keys alone: views, filter, table, details, help, theme, pause", async () => {
    const { page, context, complaints } = await open();
    await page.keyboard.press("2");
    await page.waitForSelector(".grid .body .row");
    await page.keyboard.press("/");
    await page.keyboard.type("name:both kind:mutex");
    await page.waitForFunction(() => document.querySelector(".grid")?.dataset.drawn === "3");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#drawer:not([hidden]) mark");
    const drawer = await page.textContent("#drawer");
    assert.match(String(drawer), /goroutine \d+ \[both\].*mutex lock.*mutex #\d/s);
    assert.match(String(drawer), /= await second\.lock\(\)/, "the line of the source");
    await page.screenshot({ path: join(pictures, "goroutine-dark.png") });
    await page.keyboard.press("Escape");
    assert.ok(await page.isHidden("#drawer"));
    await page.keyboard.press("?");
    await page.waitForSelector("dialog[open] .keys");
    await page.screenshot({ path: join(pictures, "help-dark.png") });
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
    await page.keyboard.press("p");
    assert.equal(await page.getAttribute('[data-do="pause"]', "aria-pressed"), "true");
    await page.keyboard.press("4");
    await page.waitForSelector(".machine");
    await page.focus(".part.timers");
    await page.keyboard.press("Enter");
    assert.match(String(await page.textContent(".info")), /one heap over one timer/);
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("threads have columns, locks that are held up are drawn as a cycle", async () => {
    const { page, context } = await open();
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length >= 2);
    await page.waitForSelector(".threads:not([hidden])");
    await page.selectOption(".threads", { index: 1 });
    await go(page, "goroutines");
    assert.match(String(await page.textContent(".grid .body")), /talker/, "the thread's own");
    await page.selectOption(".threads", { index: 0 });
    await go(page, "objects");
    assert.equal(await page.locator(".waits .node.cycle").count(), 3);
    await go(page, "reports");
    await page.waitForSelector(".verdicts .bad");
    assert.match(String(await page.textContent("#view")), /goroutine \d+ \[both\] ──mutex/);
    await context.close();
  });

  test("a thread is chosen: its goroutines, connections, poller, trace and profiles", async () => {
    const { page, context, complaints } = await open();
    const picture = (view: string): Promise<unknown> =>
      page.screenshot({ path: join(pictures, `${view}-thread-dark.png`) });
    await page.waitForSelector(".threads:not([hidden])");
    await page.selectOption(".threads", { index: 1 });
    await go(page, "goroutines");
    await page.waitForFunction(() => document.querySelector(".grid")?.dataset.drawn === "2");
    await picture("goroutines");
    await go(page, "connections");
    await page.waitForFunction(() => document.querySelector(".grid")?.dataset.drawn === "2");
    await picture("connections");
    await go(page, "poller");
    const live = ".part.goroutines .value";
    await page.waitForFunction(
      (selector) => document.querySelector(selector)?.textContent === "2",
      live,
    );
    await page.click(".part.timers");
    await picture("poller");
    await go(page, "trace");
    await page.click("#view button.primary");
    await page.waitForSelector('#view button.primary[aria-pressed="true"]');
    await page.waitForTimeout(300);
    await page.click("#view button.primary");
    await page.waitForSelector(".timeline[data-tracks]");
    // The poller's track, the talker's and the listener's.
    assert.equal(await page.getAttribute(".timeline", "data-tracks"), "3");
    await picture("trace");
    await page.selectOption("#view select", "1");
    for (const label of ["CPU", "Heap"]) {
      const saved = page.waitForEvent("download");
      await page.click(`#view button:text-is("${label}")`);
      const path = await (await saved).path();
      const names = Profile.decode(gunzipSync(readFileSync(path))).stringTable.strings.join(" ");
      assert.doesNotMatch(names, /busyClient|acceptLoop/, label);
    }
    await page.selectOption(".threads", { index: 0 });
    await go(page, "poller");
    await page.waitForFunction(
      (selector) => Number(document.querySelector(selector)?.textContent) > 2,
      live,
    );
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test(`${2 * pairs} connections are listed and filtered`, async () => {
    child.process.stdin.write(`connect ${pairs}\n`);
    assert.equal(await child.line(), `connected ${pairs}`);
    const { page, context, complaints } = await open();
    await go(page, "connections");
    const count = Number(await page.getAttribute(".grid", "data-drawn"));
    assert.ok(count >= 2 * pairs, `${count} are listed`);
    const listed = await page.getAttribute(".grid", "data-took");
    const ask = (filter: string): Promise<[number, number]> =>
      page.evaluate(async (text) => {
        const began = performance.now();
        const response = await fetch(`/api/conns?limit=100&sort=in&desc=1&filter=${text}`);
        const { matched } = (await response.json()) as { matched: number };
        return [matched, performance.now() - began];
      }, filter);
    const first = await ask("idle>0");
    const [matched, took] = await ask("reader:read 127.0.0.1");
    const typed = await page.evaluate(async () => {
      const began = performance.now();
      const field = document.querySelector(".filter") as PageElement;
      field.value = "network:tcp in<1";
      field.dispatchEvent(new Event("input", { bubbles: true }));
      const grid = document.querySelector(".grid") as PageElement;
      const before = grid.dataset.took;
      while (grid.dataset.took === before) await new Promise(requestAnimationFrame);
      return performance.now() - began;
    });
    assert.ok(matched >= 2 * pairs);
    console.log(
      `# ${count} connections: listed in ${listed} ms, sorted in ${first[1].toFixed(0)} ms, ` +
        `filtered in ${took.toFixed(0)} ms, ${typed.toFixed(0)} ms from key to picture (120 of them a pause)`,
    );
    await page.keyboard.press("1");
    await page.screenshot({ path: join(pictures, "many-dark.png") });
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("a connection is closed, after a question", async () => {
    const { page, context } = await open();
    await go(page, "connections");
    await page.fill(".filter", "by:idleClient reader:read");
    await page.waitForFunction(
      (n) => document.querySelector(".grid")?.dataset.drawn === n,
      String(pairs),
    );
    await page.click(".grid .body .row");
    await page.click(".close-conn");
    await page.waitForSelector("dialog[open]");
    await page.screenshot({ path: join(pictures, "close-dark.png") });
    await page.click("dialog .danger");
    await page.waitForFunction(
      (n) => document.querySelector(".grid")?.dataset.drawn === n,
      String(pairs - 1),
    );
    await context.close();
  });

  test("without the token there is a page that asks for it", async () => {
    const context = await browser.newContext({ viewport: DESK });
    const page = await context.newPage();
    page.setDefaultTimeout(8000);
    await page.goto(new URL("/", url).href);
    await page.fill("#token", "not-the-token-at-all");
    await page.click("button");
    await page.waitForFunction(() => document.querySelector(".error")?.textContent !== "");
    await page.screenshot({ path: join(pictures, "login-light.png") });
    await page.fill("#token", "a-token-of-the-tests-own");
    await page.click("button");
    await page.waitForSelector(".tabs a");
    await context.close();
  });

  test("pages of other origins get nothing, also with the user's cookie", async () => {
    const { page, context } = await open();
    const { port } = new URL(url);
    // Another port of the same host: the same site, for cookies.
    const other = await context.newPage();
    await other.route("http://127.0.0.1:1/**", (route) =>
      route.fulfill({ body: "<!doctype html><title>other</title>", contentType: "text/html" }),
    );
    await other.goto("http://127.0.0.1:1/");
    const tried = await other.evaluate(async (place) => {
      const results: string[] = [];
      const note = async (name: string, ask: () => Promise<Response>): Promise<void> => {
        try {
          const response = await ask();
          results.push(`${name} ${response.type} ${response.status}`);
        } catch {
          results.push(`${name} failed`);
        }
      };
      const base = `http://127.0.0.1:${place}/api`;
      await note("get", () => fetch(`${base}/conns`, { credentials: "include" }));
      const type = "text/plain";
      const body = '{"id":1}';
      const credentials = "include";
      const headers = { "content-type": type };
      await note("post", () =>
        fetch(`${base}/close`, { method: "POST", body, headers, credentials }),
      );
      return results;
    }, port);
    assert.deepEqual(tried, ["get failed", "post failed"]);
    assert.ok(await page.isVisible(".link.on"));
    await context.close();
  });

  test("what a page that is open costs an echo", async () => {
    const measure = async (): Promise<number> => {
      child.process.stdin.write("echo 700\n");
      return Number(await child.line());
    };
    await measure();
    const without = await measure();
    const { page, context } = await open();
    await page.keyboard.press("3");
    const open1 = await measure();
    await context.close();
    const again = await measure();
    console.log(
      `# echo, messages/s: ${without} before, ${open1} with the page open, ${again} after`,
    );
    assert.ok(open1 > 0);
  });
});
