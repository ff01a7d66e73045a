"""A clone made and kept by dulwich. The token is in TOKEN."""

import os
import sys

from dulwich import porcelain
from dulwich.repo import Repo

AUTHOR = b"Ada <ada@example.org>"
WHO = {"username": "x", "password": os.environ["TOKEN"]}
QUIET = open(os.devnull, "wb")


def clone(url, directory):
    porcelain.clone(url, directory, errstream=QUIET, **WHO)


def commit(directory, path, line, message):
    with open(os.path.join(directory, path), "a") as file:
        file.write(line + "\n")
    porcelain.add(directory, [os.path.join(directory, path)])
    porcelain.commit(directory, message.encode(), author=AUTHOR, committer=AUTHOR)


def push(directory, name):
    head = Repo(directory).refs.follow(b"HEAD")[0][1]
    spec = head + b":" + name.encode()
    porcelain.push(directory, "origin", [spec], outstream=QUIET, errstream=sys.stderr.buffer, **WHO)


def fetch(directory):
    porcelain.fetch(directory, "origin", outstream=QUIET, errstream=QUIET, **WHO)


{"clone": clone, "commit": commit, "push": push, "fetch": fetch}[sys.argv[1]](*sys.argv[2:])
