"""Tornado's HTTP server, with one callback for every request."""

import asyncio
import os

import tornado.httpserver
import tornado.httputil
from record import record


def answer(request):
    fields = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in request.headers.get_all()
    ]
    line = record(request.method, request.uri.encode("latin-1"), fields, request.body)
    headers = tornado.httputil.HTTPHeaders(
        {"Content-Type": "application/json", "Content-Length": str(len(line))}
    )
    start = tornado.httputil.ResponseStartLine("", 200, "OK")
    body = b"" if request.method == "HEAD" else line
    request.connection.write_headers(start, headers, body)
    request.connection.finish()


async def main():
    server = tornado.httpserver.HTTPServer(answer)
    server.listen(int(os.environ["PORT"]), address="127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
