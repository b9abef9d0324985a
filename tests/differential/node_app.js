// Node's own http, with one listener for every request.
const http = require("node:http");
const crypto = require("node:crypto");
const fs = require("node:fs");

const hex = (text) => Buffer.from(text, "latin1").toString("hex");

async function answer(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const raw = request.rawHeaders;
  const fields = [];
  for (let at = 0; at < raw.length; at += 2) fields.push([hex(raw[at]), hex(raw[at + 1])]);
  const line = JSON.stringify({
    method: request.method,
    target: hex(request.url),
    fields,
    length: body.length,
    sha256: crypto.createHash("sha256").update(body).digest("hex"),
  });
  fs.appendFileSync(process.env.RECORD, `${line}\n`);
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": line.length });
  response.end(request.method === "HEAD" ? "" : line);
}

// A request that breaks off in its body is none.
const server = http.createServer((request, response) => answer(request, response).catch(() => {}));
server.listen(Number(process.env.PORT), "127.0.0.1");
