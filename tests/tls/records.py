"""tlslite-ng at the level of records: port and secret -> `ok`.

Each case is a connection of its own. A case ends in the answer 200, in an alert, or in the
end of the connection; none of them may take the server down, which the caller looks at.
"""

import socket
import sys

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.constants import ContentType, KeyUpdateMessageType
from tlslite.errors import TLSAbruptCloseError, TLSClosedConnectionError, TLSRemoteAlert
from tlslite.messages import Message

port, secret = int(sys.argv[1]), sys.argv[2]
TLS12, TLS13 = (3, 3), (3, 4)


def request(more=""):
    head = f"GET /protected HTTP/1.1\r\nHost: localhost\r\nX-Shared-Secret: {secret}\r\n"
    return bytearray(f"{head}{more}\r\n".encode())


def connect(version, record_size=None):
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = TLSConnection(sock)
    if record_size:
        client.recordSize = record_size
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    client.handshakeClientCert(settings=settings, serverName="localhost")
    return client


def send(client, kind, content):
    for _ in client._recordLayer.sendRecord(Message(kind, bytearray(content))):
        pass


def answer(client):
    """The status, or how the connection ended."""
    try:
        got = bytearray()
        while b"\r\n\r\n" not in got:
            piece = client.recv(4096)
            if not piece:
                return "end"
            got += piece
        return int(got[9:12])
    except TLSRemoteAlert as alert:
        return str(alert)
    except (TLSAbruptCloseError, TLSClosedConnectionError, ConnectionError):
        return "end"


def check(name, got, *wanted):
    assert any(str(want) in str(got) for want in wanted), f"{name}: {got!r}, not {wanted}"


for version in (TLS12, TLS13):
    # A handshake and a request in records of one byte.
    client = connect(version, record_size=1)
    client.write(request())
    check("one byte", answer(client), 200)

    # Empty records between the parts of a request.
    client = connect(version)
    for byte in request():
        send(client, ContentType.application_data, b"")
        send(client, ContentType.application_data, [byte])
    check("empty records", answer(client), 200)

    # A kind of record that there is not.
    client = connect(version)
    send(client, 99, b"hello")
    check("unknown kind", answer(client), "alert", "unexpected_message", "end", "decode_error")

    # Part of a message of the handshake behind the last request: the answer and the end
    # still come, in TLS.
    client = connect(version)
    client.write(request("Connection: close\r\n"))
    send(client, ContentType.handshake, b"\x18\x00")
    check("part of a message", answer(client), 200, "unexpected_message", "end")

    # The same before a request, which must not stand between.
    client = connect(version)
    send(client, ContentType.handshake, b"\x18\x00")
    client.write(request("Connection: close\r\n"))
    check("between", answer(client), 200, "unexpected_message", "end", "decode")

    # Many messages in one record, none of which has a meaning now.
    client = connect(version)
    send(client, ContentType.handshake, b"\x00\x00\x00\x00" * 100)
    check("hello requests", answer(client), "unexpected_message", "end", "decode")

    # A record that claims more than there may be.
    client = connect(version)
    client.sock.sendall(b"\x17\x03\x03\xff\xff" + b"x" * 65535)
    check("too long", answer(client), "record_overflow", "decode_error", "bad_record_mac", "end")

    # A record that was changed on its way, and whole ones behind it.
    client = connect(version)
    client.sock.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    client.write(request())
    check("changed", answer(client), "bad_record_mac", "end")

# A new handshake inside the connection is refused, and the connection goes on or ends.
client = connect(TLS12)
send(client, ContentType.handshake, b"\x01\x00\x00\x02\x03\x03")
check("renegotiation", answer(client), "no_renegotiation", "unexpected", "decode", "end", 200)

# New keys, asked for and not.
client = connect(TLS13)
for kind in (KeyUpdateMessageType.update_not_requested, KeyUpdateMessageType.update_requested):
    for _ in client.send_keyupdate_request(kind):
        pass
    client.write(request())
    check("key update", answer(client), 200)

# Without end they are refused.
client = connect(TLS13)
try:
    for _ in range(1000):
        for _ in client.send_keyupdate_request(KeyUpdateMessageType.update_requested):
            pass
except (ConnectionError, TLSClosedConnectionError, TLSRemoteAlert):
    pass
check("key updates", answer(client), "unexpected_message", "too_many", "end", "alert")

print("ok")
