"""The built site, served as a static host serves it: HTTP/1.1, gzip for text, a cache life of ten minutes."""

import gzip
import threading
from contextlib import contextmanager
from functools import cache, partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".txt", ".map", ".ipynb"}


@cache
def body(path: Path, compress: bool) -> bytes:
    content = path.read_bytes()
    return gzip.compress(content, compresslevel=6, mtime=0) if compress else content


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        inside = self.path.startswith(self.base)
        self.path = "/" + self.path.removeprefix(self.base)
        path, status = Path(self.translate_path(self.path)), HTTPStatus.OK
        if path.is_dir():
            path /= "index.html"
        if not (inside and path.is_file()):
            path, status = Path(self.directory) / "404.html", HTTPStatus.NOT_FOUND
            if not path.is_file():
                return self.send_error(status)
        compress = path.suffix in COMPRESSED and "gzip" in self.headers.get("Accept-Encoding", "")
        content = body(path, compress)
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=600")
        if compress:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass  # the tests say what failed


@contextmanager
def serve(directory: Path, base: str = "/"):
    """Serve a folder on a free port of 127.0.0.1, from a thread; yield its address, without a slash at its end.

    The folder stands under the path `base`, which begins and ends with a slash, as /name/ does on GitHub Pages.
    """

    handler = partial(type("HandlerUnderBase", (Handler,), {"base": base}), directory=str(directory))

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

        def handle_error(self, request, client_address):
            pass  # a page that is closed drops its connections

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{base.rstrip('/')}"
        finally:
            server.shutdown()
            thread.join()
