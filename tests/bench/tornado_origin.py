"""The origin that the contract comes from: Tornado, one process."""

import hmac
import os

import tornado.ioloop
import tornado.web

SECRET = os.environ.get("SHARED_SECRET", "")


class Protected(tornado.web.RequestHandler):
    def get(self):
        self.set_header("Cache-Control", "no-store")
        presented = self.request.headers.get("X-Shared-Secret", "").strip()
        if not SECRET:
            self.set_status(500)
            self.write({"error": "Server configuration error"})
        elif not presented:
            self.set_status(401)
            self.write({"error": "No secret provided"})
        elif not hmac.compare_digest(presented.encode(), SECRET.encode()):
            self.set_status(401)
            self.write({"error": "Invalid secret"})
        else:
            self.write({"message": "Access granted"})


application = tornado.web.Application(
    [("/protected", Protected)], log_function=lambda handler: None
)
application.listen(int(os.environ["PORT"]), address="127.0.0.1")
tornado.ioloop.IOLoop.current().start()
