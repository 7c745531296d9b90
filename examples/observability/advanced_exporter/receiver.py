"""Two targets to try the exporter on: prints the reports that come to /archive and /alerts. `python receiver.py`."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    """Takes every report."""

    def do_POST(self) -> None:
        report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(self.path, json.dumps(report, indent=2), flush=True)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8101), Receiver).serve_forever()
