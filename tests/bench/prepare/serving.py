"""An HTTP server on the loopback interface that continues downloads, or misbehaves as a test asks it to."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves ``content``: whatever is asked for, or by name where it is a dict. ``requests`` keeps the headers that came;
    the other attributes say how it misbehaves.
    """

    daemon_threads = True

    def __init__(self, content: bytes | dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.state, self.requests = content, '"one"', None, []
        self.cut = 100_000
        self.cuts = 0  # so many answers end after ``cut`` bytes
        self.ranges = self.conditions = self.lengths = True  # whether it heeds Range and If-Range and gives the length
        self.broken_chunks = 0  # so many answers come as one chunk that ends after ``cut`` bytes
        self.content_range = None  # what it says instead of the truth
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.url = f"{self.address}/file.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(self.headers)
        if server.state:
            return self.send_error(server.state)
        start, asked = 0, self.headers.get("Range")
        if asked and server.ranges and (not server.conditions or self.headers.get("If-Range") == server.tag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        content = server.content[self.path[1:]] if isinstance(server.content, dict) else server.content
        total, body = len(content), content[start:]
        if start and not body:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", server.content_range or f"bytes {start}-{total - 1}/{total}")
        if server.broken_chunks:
            server.broken_chunks -= 1
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n" % len(body) + body[: server.cut]
        elif server.lengths:
            self.send_header("Content-Length", str(len(body)))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        if server.cuts:
            server.cuts -= 1
            body = body[: server.cut]
        return self.wfile.write(body)

    def log_message(self, *_):
        pass
