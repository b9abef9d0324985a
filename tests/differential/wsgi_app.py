"""What gunicorn serves: one application for every request."""

from record import record


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    length = environ.get("CONTENT_LENGTH")
    if length and int(length) != len(body):
        # Its client is gone.
        start_response("400 Bad Request", [("Content-Length", "0")])
        return [b""]
    fields = [
        (name[5:].replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    method = environ["REQUEST_METHOD"]
    line = record(method, environ["RAW_URI"].encode("latin-1"), fields, body)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(line)))])
    return [b"" if method == "HEAD" else line]
