// Looks at reports in headless Chromium: node check.mjs MODULES SCREENSHOTS KIND=FILE... (`cargo xtask report-check` calls it)
//
// MODULES is a folder with playwright-core and axe-core in its node_modules. KIND says which sections the report has: see below; of a
// FILE alone, any will do. For light and dark, a wide and a narrow screen, and paper: no console error, no request, these sections and
// no others are there and linked, curves and map show values under the pointer and can be zoomed, axe-core finds nothing serious.
// Leaves screenshots. Ends with 1 and a line for each fault.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";

const [modules, screenshots, ...named] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const looks = [
  { name: "light", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  { name: "phone", colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
];
const ofRun = ["curves", "accuracy", "views", "map", "neighbours", "clusters", "data", "looks", "facts"];
const sections = {
  made: ["findings", "compared", "curves", "differences", ...ofRun.slice(1)],
  run: ofRun, // with labels, and nothing wrong with it
  unlabelled: ofRun,
  findings: ["findings", ...ofRun],
  several: ["compared", "curves", "differences", "facts"],
};
const reports = named.map((argument) => {
  const [, kind, path] = argument.match(/^([a-z]+)=(.*)$/) ?? [null, "any", argument];
  if (kind !== "any" && !sections[kind]) throw new Error(`found the kind ${kind}, expected one of ${Object.keys(sections).join(", ")}`);
  return { kind, path };
});
const faults = [];
let at = "";
const check = (right, sentence) => { if (!right) faults.push(`${at}: ${sentence}`); };

// What sections say, where that can be told from their kind.
async function says(page, kind) {
  const texts = (selector) => page.locator(selector).allTextContents();
  const [linked, sentences] = [await texts("nav a"), await texts("#verdict .sentence")];
  if (kind !== "any" && kind !== "several") check(sentences.length === 1 && sentences[0].length > 10, `the verdict is '${sentences}'`);
  const remedies = await texts("#findings .finding code"), findings = await page.locator("#findings .finding").count();
  check((findings > 0) === linked.includes("Doctor"), `${findings} findings in the section of the doctor`);
  check(remedies.length === findings && remedies.every((remedy) => /^[a-z_.]+=./.test(remedy)), `the remedies are '${remedies}'`);
  for (const [link, id] of [["Runs", "compared"], ["Recipes", "differences"], ["Accuracy", "accuracy"]]) {
    if (linked.includes(link)) check((await page.locator(`#${id} tbody tr`).count()) > 0, `the table of ${id} has no row`);
  }
  const colours = await texts("#colour option"), labels = ["made", "run", "findings"].includes(kind);
  if (labels || kind === "unlabelled") check(colours.includes("label") === labels, `points are coloured by ${colours.join(", ")}`);
}

// Each layout of the map has its own places.
async function layouts(page, kind) {
  const options = await page.locator("#layout option").count(), places = new Set();
  check(kind !== "made" || options === 2, `the map has ${options} layouts to select, expected 2`);
  for (let layout = options - 1; layout >= 0; layout--) {
    await page.locator("#layout").selectOption(String(layout));
    places.add(await page.evaluate(() => [0, 1, 2].flatMap(window.burnSslMap.at).join()));
  }
  check(places.size === options && ![...places].some((place) => place.includes("NaN")), `the layouts put points at ${[...places].join(" and ")}`);
}

async function pointerAndZoom(page, kind, phone) {
  if (await page.$("#curves")) {
    const over = page.locator("#panels .u-over").first();
    await over.scrollIntoViewIfNeeded();
    const box = await over.boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.waitForTimeout(100);
    const value = () => page.locator("#panels .u-series:not(.raw) .u-value").nth(1).textContent();
    check(/[0-9]/.test(await value()), "a curve shows no value under the pointer");
    const range = () => page.evaluate(() => { const { min, max } = window.burnSslCharts[0].plot.scales.x; return max - min; });
    const whole = await range();
    if (!phone) {
      await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 6 });
      await page.mouse.up();
      await page.waitForTimeout(100);
      check((await range()) < 0.5 * whole, "dragging across a curve does not zoom");
      await page.mouse.dblclick(box.x + box.width / 2, box.y + 50);
      await page.waitForTimeout(100);
      check(Math.abs((await range()) - whole) < 1e-6 * whole, "a double-click does not show all again");
    }
    await page.locator("#panels button", { hasText: "+" }).first().click();
    check((await range()) < 0.6 * whole, "the button + does not zoom");
    await page.locator("#panels button", { hasText: "All" }).first().click();
    check(Math.abs((await range()) - whole) < 1e-6 * whole, "the button All does not show all");
    await page.locator("#smoothing").fill("0.8");
    check((await page.locator("#smoothed").textContent()) === "0.80", "smoothing says nothing");
    check((await page.locator("#panels .u-legend tr.raw").count()) > 0, "smoothing does not keep what was measured");
    await page.locator("#smoothing").fill("0");
    const more = page.locator("#more summary");
    if (await more.count()) {
      await more.click();
      await page.waitForTimeout(150);
      check((await page.locator("#more-panels canvas").count()) > 0, "the other metrics have no curves");
      await more.click();
    }
  }
  if (await page.$("#map")) {
    const canvas = page.locator("#map-canvas");
    await canvas.scrollIntoViewIfNeeded();
    const box = await canvas.boundingBox();
    const [x, y] = await page.evaluate(() => window.burnSslMap.at(0));
    if (phone) await page.touchscreen.tap(box.x + x, box.y + y); else await page.mouse.move(box.x + x, box.y + y);
    await page.waitForTimeout(100);
    check(await page.locator("#map-tip").isVisible(), "a point of the map says nothing under the pointer");
    check((await page.locator("#map-text").textContent()).length > 3, "a point of the map has no name");
    await page.locator("#map-in").click();
    check((await page.evaluate(() => window.burnSslMap.view.zoom)) > 1.5, "the map does not zoom");
    await page.locator("#map-all").click();
    check((await page.evaluate(() => window.burnSslMap.view.zoom)) === 1, "the map does not show all again");
    await layouts(page, kind);
    await page.locator("#points").selectOption("images");
    for (const place of (await page.locator("#colour option").all()).keys()) await page.locator("#colour").selectOption(String(place));
    await page.locator("#colour").selectOption("0");
    if (at.includes("dark")) await page.locator("#points").selectOption("dots");
  }
}

async function look(browser, kind, report, { name, ...options }) {
  at = `${basename(report)}, ${name}`;
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) check(false, `console: ${message.text()} (${message.location().url?.slice(0, 60)})`); });
  page.on("pageerror", (error) => check(false, `script: ${error.message}`));
  const address = pathToFileURL(resolve(report)).href;
  page.on("request", (request) => check(request.url() === address || request.url().startsWith("data:"), `asks for ${request.url().slice(0, 80)}`));
  await page.goto(address);
  await page.waitForTimeout(300);
  const linked = await page.$$eval("nav a", (links) => links.map((link) => link.hash.slice(1)));
  const expected = sections[kind] ?? linked;
  check(linked.join() === expected.join(), `the navigation leads to ${linked.join(", ")}, expected ${expected.join(", ")}`);
  for (const id of linked) check((await page.locator(`#${id}`).count()) === 1 && (await page.locator(`#${id} h2`).first().textContent()), `there is no section ${id}`);
  await says(page, kind);
  await pointerAndZoom(page, kind, name === "phone");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 1, `the page is ${wide} pixels wider than the screen`);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  for (const { id, impact, nodes } of violations) if (["serious", "critical"].includes(impact)) check(false, `axe: ${id} at ${nodes.slice(0, 3).map((node) => node.target).join(", ")}`);
  await page.mouse.move(0, 0);
  await page.evaluate(() => scrollTo(0, 0));
  const base = join(screenshots, `${basename(report, ".html")}-${name}`);
  await page.screenshot({ path: `${base}.png`, fullPage: true });
  if (name === "dark") {
    const pdf = await page.pdf({ path: join(screenshots, `${basename(report, ".html")}-paper.pdf`), format: "A4" });
    check(pdf.subarray(0, 5).toString() === "%PDF-" && pdf.length > 50_000, `on paper, it has ${pdf.length} bytes`);
  }
  await context.close();
}

mkdirSync(screenshots, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });
for (const { kind, path } of reports) {
  check(statSync(path).size <= 6e6, `${basename(path)} is larger than 6 MB`);
  for (const options of looks) await look(browser, kind, path, options);
}
await browser.close();
for (const fault of faults) console.log(fault);
console.log(`${reports.length} report(s), ${faults.length} fault(s), screenshots in ${screenshots}`);
process.exit(faults.length ? 1 : 0);
