// Takes the pictures of a report: node report.mjs MODULES REPORT
//
//     burn-ssl demo --seed 0 --out demo
//     node docs/images/report.mjs target/report-check/modules demo/report.html
//
// MODULES is a folder with playwright-core in its node_modules, such as the one of `cargo xtask report-check`. Writes
// report-light.png and report-dark.png beside itself: verdict and curves, and the map with the images.
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [modules, report] = process.argv.slice(2);
const { chromium } = createRequire(join(resolve(modules), "package.json"))("playwright-core");
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: quiet });
const width = 900, height = 980;

for (const colorScheme of ["light", "dark"]) {
  const page = await browser.newPage({ colorScheme, viewport: { width, height } });
  await page.goto(pathToFileURL(resolve(report)).href);
  await page.selectOption("#points", "images");
  await page.waitForTimeout(1000);
  const top = await page.screenshot({ clip: { x: 0, y: 0, width, height }, fullPage: true });
  const box = await page.locator("#map").boundingBox();
  const map = await page.screenshot({ clip: { x: 0, y: box.y, width, height }, fullPage: true });
  const both = await browser.newPage({ viewport: { width: 1280, height: Math.round((640 * height) / width) } });
  const image = (png) => `<img style="width:50%;float:left" src="data:image/png;base64,${png.toString("base64")}">`;
  await both.setContent(`<body style="margin:0">${image(top)}${image(map)}</body>`);
  await both.waitForTimeout(300);
  await both.screenshot({ path: join(dirname(fileURLToPath(import.meta.url)), `report-${colorScheme}.png`) });
}
await browser.close();
