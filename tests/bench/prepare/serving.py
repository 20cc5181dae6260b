"""An HTTP server on the loopback interface that continues downloads, or misbehaves as a test asks it to."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves ``content`` at any address. ``requests`` keeps the headers; the other attributes say how it misbehaves."""

    daemon_threads = True

    def __init__(self, content: bytes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.requests = content, []
        self.state = None  # the HTTP status of every answer
        self.cuts, self.cut = 0, 100_000  # so many answers end after ``cut`` bytes
        self.url = f"http://127.0.0.1:{self.server_port}/tiny-imagenet-200.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(self.headers)
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        total, body = len(server.content), server.content[start:]
        if server.state or not body:
            return self.send_error(server.state or 416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts:
            server.cuts -= 1
            body = body[: server.cut]
        return self.wfile.write(body)

    def log_message(self, *_):
        pass
