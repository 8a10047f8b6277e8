// Installs the pinned packages of this folder into DIRECTORY, unless they are there already, and puts the scripts there too,
// where they find them. Prints the directory.
//
// usage: node install.mjs DIRECTORY

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const here = import.meta.dirname;
const directory = path.resolve(process.argv[2]);
const stamp = path.join(directory, "complete");
const lock = fs.readFileSync(path.join(here, "package-lock.json"));
const wanted = createHash("sha256").update(lock).update(process.version).digest("hex");

fs.mkdirSync(directory, { recursive: true });
for (const name of fs.readdirSync(here).filter((name) => /\.(mjs|json)$/.test(name))) {
  fs.copyFileSync(path.join(here, name), path.join(directory, name));
}
if (!fs.existsSync(stamp) || fs.readFileSync(stamp, "utf8") !== wanted) {
  fs.rmSync(stamp, { force: true });
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  execFileSync(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: directory, stdio: ["ignore", 2, 2] });
  fs.writeFileSync(stamp, wanted);
}
console.log(directory);
