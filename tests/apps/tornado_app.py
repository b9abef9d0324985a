"""The document's own origin, a Tornado server, without the check that the guard does."""

import asyncio
import gzip
import hashlib
import os

import tornado.web
import tornado.websocket
from pattern import pattern

tokens = asyncio.Semaphore(0)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


class Protected(tornado.web.RequestHandler):
    def get(self):
        self.set_header("Cache-Control", "no-store")
        self.write({"message": "Access granted"})


class Echo(tornado.web.RequestHandler):
    SUPPORTED_METHODS = METHODS

    def echo(self):
        request = self.request
        self.write(
            {
                "method": request.method,
                "target": request.uri,
                "fields": list(request.headers.get_all()),
            }
        )

    get = head = post = put = patch = delete = options = propfind = echo


@tornado.web.stream_request_body
class Upload(tornado.web.RequestHandler):
    def prepare(self):
        self.request.connection.set_max_body_size(2_000_000_000)
        self.digest = hashlib.sha256()
        self.length = 0

    def data_received(self, chunk):
        self.digest.update(chunk)
        self.length += len(chunk)

    def post(self):
        self.write({"bytes": self.length, "sha256": self.digest.hexdigest()})


class Download(tornado.web.RequestHandler):
    async def get(self):
        self.set_header("Content-Type", "application/octet-stream")
        for block in pattern(int(self.get_query_argument("bytes"))):
            self.write(block)
            await self.flush()


class Events(tornado.web.RequestHandler):
    async def get(self):
        self.set_header("Content-Type", "text/event-stream")
        for number in range(5):
            if number:
                await tokens.acquire()
            self.write(f"data: {number}\n\n")
            await self.flush()


class Slow(tornado.web.RequestHandler):
    async def get(self):
        await tokens.acquire()
        self.write("slow")


class Next(tornado.web.RequestHandler):
    def post(self):
        tokens.release()
        self.set_status(204)


class Cookies(tornado.web.RequestHandler):
    def get(self):
        for name in "abc":
            self.add_header("Set-Cookie", f"{name}={name * 3}; Path=/{name}")


class Gzip(tornado.web.RequestHandler):
    def get(self):
        self.set_header("Content-Encoding", "gzip")
        self.write(gzip.compress(b"plain", mtime=0))


class Etag(tornado.web.RequestHandler):
    def compute_etag(self):
        return '"v1"'

    def get(self):
        self.write("tagged")


class Socket(tornado.websocket.WebSocketHandler):
    def check_origin(self, origin):
        return True

    def select_subprotocol(self, subprotocols):
        return subprotocols[0] if subprotocols else None

    def on_message(self, message):
        if message == "close":
            self.close(4001, "as you wish")
        else:
            self.write_message(message, binary=isinstance(message, bytes))


async def main():
    application = tornado.web.Application(
        [
            ("/protected", Protected),
            ("/json", Echo),
            ("/upload", Upload),
            ("/download", Download),
            ("/events", Events),
            ("/slow", Slow),
            ("/next", Next),
            ("/cookies", Cookies),
            ("/gzip", Gzip),
            ("/etag", Etag),
            ("/ws", Socket),
        ],
        log_function=lambda handler: None,
    )
    application.listen(int(os.environ["PORT"]), address="127.0.0.1", max_body_size=2_000_000_000)
    await asyncio.Event().wait()


asyncio.run(main())
