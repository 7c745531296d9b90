"""Run in the environment `object-stores`: content is offloaded to servers on loopback, through fsspec.

python store_content.py FOLDER    for the files of the FTP server; prints what is found where, as JSON
"""

import base64
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import s3fs
from moto.server import ThreadedMotoServer
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

from nat.observability import Telemetry, step
from nat.plugins.content.register import ContentConfig, OffloadConfig
from nat.plugins.file.register import FileConfig

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(2000)


def store(folder: Path, name: str, to: str, **options: Any) -> list[dict[str, Any]]:
    """Three calls with the same picture, stored at a URL; the attributes that say so."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}"}}
    file = folder / f"{name}.jsonl"
    config = ContentConfig(offload=OffloadConfig(to=to, options=options))
    with Telemetry(FileConfig(output_path=str(file), format="spans"), processors=[config]) as telemetry:
        with telemetry.run("run"):
            for _ in range(3):
                with step("chat", kind="llm", input=[{"role": "user", "content": [picture]}]):
                    pass
    spans = [json.loads(line)["attributes"] for line in file.read_text().splitlines()]
    return [{key: value for key, value in span.items() if key.startswith("nat.content.")} for span in spans]


def main(folder: Path) -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    bucket = s3fs.S3FileSystem(endpoint_url=endpoint)
    bucket.mkdir("bucket")

    class Handler(FTPHandler):  # type: ignore[misc]  # of that environment, without types
        authorizer = DummyAuthorizer()

    Handler.authorizer.add_user("u", "hunter2", str(folder), perm="elradfmwMT")
    ftp = ThreadedFTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=ftp.serve_forever, daemon=True).start()
    place = f"127.0.0.1:{ftp.socket.getsockname()[1]}"

    said = {
        "s3": store(folder, "s3", "s3://bucket/traces", endpoint_url=endpoint),
        "missing": store(folder, "missing", "s3://nowhere/traces", endpoint_url=endpoint),
        "ftp": store(folder, "ftp", f"ftp://u:hunter2@{place}/blobs"),
    }
    objects = {path: len(bucket.cat_file(path)) for path in bucket.find("bucket")}
    print(json.dumps({"said": said, "objects": objects, "place": place}))
    ftp.close_all()
    s3.stop()


main(Path(sys.argv[1]))
