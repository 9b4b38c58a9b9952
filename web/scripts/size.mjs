// What a browser loads before it shows the first page, compressed: printed, and refused where it is too much.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const LIMIT = 200 * 1024;
const dist = new URL("../dist/", import.meta.url);
const html = readFileSync(new URL("index.html", dist));
const names = [...html.toString().matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((found) => found[1]);
const bytes = [html, ...names.map((name) => readFileSync(fileURLToPath(new URL(name, dist))))]
  .map((content) => gzipSync(content).length)
  .reduce((sum, size) => sum + size, 0);
console.log(`web application: first load ${(bytes / 1024).toFixed(1)} KiB gzipped, at most ${LIMIT / 1024}`);
if (/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/.test(html.toString())) {
  console.error("dist/index.html has something inline, which the server's Content-Security-Policy refuses");
  process.exit(1);
}
if (bytes > LIMIT) process.exit(1);
