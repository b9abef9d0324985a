"""Starlette, which uvicorn serves."""

import asyncio
import gzip
import hashlib

from pattern import pattern
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

tokens = asyncio.Semaphore(0)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]


async def echo(request):
    target = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    fields = [
        [name.decode("latin-1"), value.decode("latin-1")]
        for name, value in request.headers.raw
    ]
    return JSONResponse(
        {
            "method": request.method,
            "target": target + ("?" + query if query else ""),
            "fields": fields,
        }
    )


async def upload(request):
    digest, length = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        length += len(chunk)
    return JSONResponse({"bytes": length, "sha256": digest.hexdigest()})


async def download(request):
    blocks = pattern(int(request.query_params["bytes"]))
    return StreamingResponse(blocks, media_type="application/octet-stream")


async def events(request):
    async def send():
        for number in range(5):
            if number:
                await tokens.acquire()
            yield f"data: {number}\n\n"

    return StreamingResponse(send(), media_type="text/event-stream")


async def slow(request):
    await tokens.acquire()
    return Response("slow")


async def next_token(request):
    tokens.release()
    return Response(status_code=204)


async def cookies(request):
    response = Response()
    for name in "abc":
        response.headers.append("Set-Cookie", f"{name}={name * 3}; Path=/{name}")
    return response


async def gzipped(request):
    return Response(gzip.compress(b"plain", mtime=0), headers={"Content-Encoding": "gzip"})


async def etag(request):
    tag = '"v1"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response("tagged", headers={"ETag": tag})


async def socket(websocket):
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=offered[0] if offered else None)
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "close":
                await websocket.close(4001, "as you wish")
                return
            if message.get("text") is not None:
                await websocket.send_text(message["text"])
            else:
                await websocket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass


app = Starlette(
    routes=[
        Route("/json", echo, methods=METHODS),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/events", events),
        Route("/slow", slow),
        Route("/next", next_token, methods=["POST"]),
        Route("/cookies", cookies),
        Route("/gzip", gzipped),
        Route("/etag", etag),
        WebSocketRoute("/ws", socket),
    ]
)
