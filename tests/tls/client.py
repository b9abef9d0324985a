"""Python's ssl and http.client: port, CA and secret -> `ok`."""

import hashlib
import http.client
import ssl
import sys

port, authority, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3]
headers = {"X-Shared-Secret": secret}
body = bytes(i % 251 for i in range(251)) * 20_000
digest = hashlib.sha256(body).hexdigest()

for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = context.maximum_version = version
    # An end without close_notify is an error here.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    client = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
    for _ in range(3):
        client.request("PUT", "/up", body, headers)
        answer = client.getresponse().read().decode()
        assert answer == f"{len(body)} {digest}", answer
        client.request("GET", f"/{len(body)}", headers=headers)
        assert client.getresponse().read() == body
    assert client.sock.version() in ("TLSv1.2", "TLSv1.3")
    client.request("GET", "/7", headers={**headers, "Connection": "close"})
    answer = client.getresponse()
    assert answer.read() == body[:7]
print("ok")
