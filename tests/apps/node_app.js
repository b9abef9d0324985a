// Node's own http.
const http = require("node:http");
const crypto = require("node:crypto");
const zlib = require("node:zlib");

const BLOCK = Buffer.from(Array.from({ length: 65536 }, (_, at) => at % 251));
let tokens = 0;
const waiting = [];

function acquire() {
  if (tokens > 0) {
    tokens -= 1;
    return Promise.resolve();
  }
  return new Promise((resolve) => waiting.push(resolve));
}

function release() {
  const next = waiting.shift();
  if (next) next();
  else tokens += 1;
}

function json(response, value) {
  const body = JSON.stringify(value);
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(body);
}

const routes = {
  "/json": (request, response) => {
    const raw = request.rawHeaders;
    const fields = [];
    for (let at = 0; at < raw.length; at += 2) fields.push([raw[at], raw[at + 1]]);
    json(response, { method: request.method, target: request.url, fields });
  },
  "/upload": async (request, response) => {
    const digest = crypto.createHash("sha256");
    let bytes = 0;
    for await (const chunk of request) {
      digest.update(chunk);
      bytes += chunk.length;
    }
    json(response, { bytes, sha256: digest.digest("hex") });
  },
  "/download": async (request, response, query) => {
    let left = Number(query.get("bytes"));
    response.writeHead(200, { "Content-Type": "application/octet-stream" });
    while (left > 0) {
      const block = BLOCK.subarray(0, left);
      left -= block.length;
      if (!response.write(block)) await new Promise((drained) => response.once("drain", drained));
    }
    response.end();
  },
  "/events": async (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (let number = 0; number < 5; number += 1) {
      if (number) await acquire();
      response.write(`data: ${number}\n\n`);
    }
    response.end();
  },
  "/slow": async (request, response) => {
    await acquire();
    response.end("slow");
  },
  "/next": (request, response) => {
    release();
    response.writeHead(204);
    response.end();
  },
  "/cookies": (request, response) => {
    response.setHeader(
      "Set-Cookie",
      ["a", "b", "c"].map((name) => `${name}=${name.repeat(3)}; Path=/${name}`),
    );
    response.end();
  },
  "/gzip": (request, response) => {
    response.setHeader("Content-Encoding", "gzip");
    response.end(zlib.gzipSync("plain"));
  },
  "/etag": (request, response) => {
    response.setHeader("ETag", '"v1"');
    if (request.headers["if-none-match"] === '"v1"') {
      response.writeHead(304);
      response.end();
    } else {
      response.end("tagged");
    }
  },
  "/hints": (request, response) => {
    response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" }, () => {
      response.end("hinted");
    });
  },
  "/trailers": (request, response) => {
    response.writeHead(200, { Trailer: "X-Checksum" });
    response.write("body");
    response.addTrailers({ "X-Checksum": "abc" });
    response.end();
  },
  // It answers before it has read the body, which it never reads.
  "/refuse": (request, response) => {
    response.writeHead(403, { "Content-Length": 2 });
    response.end("no");
  },
};

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const route = routes[pathname];
  if (route) {
    route(request, response, searchParams);
  } else {
    response.writeHead(404);
    response.end();
  }
});
server.requestTimeout = 0;
server.listen(Number(process.env.PORT), "127.0.0.1");
