"""Flask, which gunicorn serves."""

import gzip
import hashlib
import threading

from flask import Flask, Response, jsonify, request
from pattern import pattern

app = Flask(__name__)
tokens = threading.Semaphore(0)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]


@app.route("/json", methods=METHODS, provide_automatic_options=False)
def echo():
    # WSGI has variables in the place of fields: HTTP_X_A is X-A, X_A and X.A.
    fields = [
        [name[5:].replace("_", "-").lower(), value]
        for name, value in request.environ.items()
        if name.startswith("HTTP_")
    ]
    target = request.environ["RAW_URI"]
    return jsonify(method=request.method, target=target, fields=fields)


@app.post("/upload")
def upload():
    digest, length = hashlib.sha256(), 0
    while chunk := request.stream.read(65536):
        digest.update(chunk)
        length += len(chunk)
    return jsonify(bytes=length, sha256=digest.hexdigest())


@app.get("/download")
def download():
    blocks = pattern(int(request.args["bytes"]))
    return Response(blocks, mimetype="application/octet-stream")


@app.get("/events")
def events():
    def send():
        for number in range(5):
            if number:
                tokens.acquire()
            yield f"data: {number}\n\n"

    return Response(send(), mimetype="text/event-stream")


@app.get("/slow")
def slow():
    tokens.acquire()
    return "slow"


@app.post("/next")
def next_token():
    tokens.release()
    return "", 204


@app.get("/cookies")
def cookies():
    response = Response()
    for name in "abc":
        response.headers.add("Set-Cookie", f"{name}={name * 3}; Path=/{name}")
    return response


@app.get("/gzip")
def gzipped():
    return Response(gzip.compress(b"plain", mtime=0), headers={"Content-Encoding": "gzip"})


@app.get("/etag")
def etag():
    response = Response("tagged", headers={"ETag": '"v1"'})
    return response.make_conditional(request)
