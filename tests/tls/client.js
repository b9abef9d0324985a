// Node's https: port, CA and secret -> `ok`.
"use strict";

const { readFileSync } = require("fs");
const { createHash } = require("crypto");
const https = require("https");

const [port, authority, secret] = process.argv.slice(2);
const ca = readFileSync(authority);
const body = Buffer.alloc(5020000);
for (let i = 0; i < body.length; i++) body[i] = i % 251;
const digest = createHash("sha256").update(body).digest("hex");

function ask(agent, method, path, sent) {
  return new Promise((resolve, reject) => {
    const headers = { "X-Shared-Secret": secret, "Content-Length": sent ? sent.length : undefined };
    if (!sent) delete headers["Content-Length"];
    const options = { host: "localhost", family: 4, port, path, method, agent, headers };
    const request = https.request(options, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("error", reject);
      answer.on("end", () => resolve(Buffer.concat(parts)));
    });
    request.on("error", reject);
    request.end(sent);
  });
}

async function main() {
  for (const version of ["TLSv1.2", "TLSv1.3"]) {
    const agent = new https.Agent({ ca, keepAlive: true, minVersion: version, maxVersion: version });
    for (let i = 0; i < 3; i++) {
      const up = (await ask(agent, "PUT", "/up", body)).toString();
      if (up !== `${body.length} ${digest}`) throw new Error(up);
      const down = await ask(agent, "GET", `/${body.length}`);
      if (!down.equals(body)) throw new Error(`${down.length} bytes differ`);
    }
    agent.destroy();
  }
  console.log("ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
