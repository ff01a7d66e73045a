"""An S3 server (PyPI `moto`) on loopback, with one user who may use one bucket, and signatures checked.

Usage: serve.py PORT BUCKET, with KEY_ID and SECRET in the environment. Prints its port, ends with its
standard input. `GET /test/objects` tells what is stored; `POST /test/mode` makes it misbehave:

  cut      takes half of what is put, and closes the connection
  full     says that there is no space
  lose     says that it took what is put, and does not
  garble   gives back other bytes than were put
  garbage  answers everything with something that is no S3
  plain    does not know If-None-Match (501)
"""

import hashlib
import json
import os
import socket
import sys
import threading

os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3
import requests
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ACCOUNT = "123456789012"
port, bucket = int(sys.argv[1]), sys.argv[2]
backend = DomainDispatcherApplication(create_backend_app)
mode = ""


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def app(environ, start):
    global mode
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]

    def answer(status, body, kind="application/xml"):
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    def taken():
        length = int(environ.get("CONTENT_LENGTH") or 0)
        return environ["wsgi.input"].read(length)

    if path == "/test/mode":
        mode = taken().decode()
        return answer("200 OK", b"")
    if path == "/test/objects":
        keys = s3_backends[ACCOUNT]["aws"].buckets[bucket].keys
        found = {name: hashlib.sha256(key.value).hexdigest() for name, key in keys.items()}
        return answer("200 OK", json.dumps(found).encode(), "application/json")
    if path.startswith("/" + bucket):
        if mode == "garbage":
            taken()
            return answer("200 OK", b"<html>Welcome to the router</html>", "text/html")
        if method == "PUT":
            if mode == "cut":
                environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]) // 2)
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                return answer("500 Cut", b"")
            if mode == "full":
                taken()
                return answer(
                    "507 Insufficient Storage",
                    b"<Error><Code>StorageFull</Code><Message>No space is left</Message></Error>",
                )
            if mode == "lose":
                taken()
                start("200 OK", [("ETag", '"0"'), ("Content-Length", "0")])
                return [b""]
            if mode == "plain" and "HTTP_IF_NONE_MATCH" in environ:
                taken()
                return answer("501 Not Implemented", b"<Error><Code>NotImplemented</Code></Error>")
        if mode == "garble" and method == "GET":
            body = b"".join(backend(environ, start))
            return [bytes(len(body))]
    return backend(environ, start)


server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()

url = f"http://127.0.0.1:{server.port}"
anyone = {
    "endpoint_url": url,
    "region_name": "us-east-1",
    "aws_access_key_id": "any",
    "aws_secret_access_key": "any",
}
boto3.client("s3", **anyone).create_bucket(Bucket=bucket)
iam = boto3.client("iam", **anyone)
iam.create_user(UserName="packs")
allowed = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
# Of a bucket that is missing, nobody is told who may not use it.
resources = [f"arn:aws:s3:::{name}/*" for name in ("packs", "others")]
policy = {"Effect": "Allow", "Action": allowed, "Resource": resources}
iam.put_user_policy(
    UserName="packs",
    PolicyName="packs",
    PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [policy]}),
)
iam.create_access_key(UserName="packs")
users = iam_backends[ACCOUNT]["aws"].users
key = users["packs"].access_keys[0]
key.access_key_id, key.secret_access_key = os.environ["KEY_ID"], os.environ["SECRET"]
# From now on every request must be signed.
requests.post(f"{url}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()

print(server.port, flush=True)
sys.stdin.read()
os._exit(0)
