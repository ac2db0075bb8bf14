"""A local HTTP server that answers ranged reads, and fails when it is asked to."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer:
    """Serves the files of a folder. `failures` are used up by the next reads: "cut", "busy", "whole" or "denied"."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.failures: list[str] = []
        self.reads: list[tuple[str, int, int]] = []  # path, first and last byte of each ranged read
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self._answer(body=False)

            def do_GET(self):
                self._answer(body=True)

            def _answer(self, body: bool):
                path = server.folder / self.path.lstrip("/")
                if not path.is_file():
                    return self.send_error(404)
                data = path.read_bytes()
                wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                failure = server.failures.pop(0) if server.failures and wanted and body else None
                if failure in ("busy", "denied"):
                    return self.send_error(503 if failure == "busy" else 403)
                part = data
                if wanted and failure != "whole":
                    first, last = map(int, wanted.groups())
                    server.reads.append((self.path, first, last))
                    part = data[first : last + 1]
                self.send_response(206 if part is not data else 200)
                self.send_header("Content-Length", str(len(part)))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", f'"{hash(data)}"')
                self.end_headers()
                if body:
                    self.wfile.write(part[: len(part) // 2] if failure == "cut" else part)
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["RangeServer"]:
        """Serves inside the block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
