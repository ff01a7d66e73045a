"""A clone made and kept by libgit2, through pygit2. The token is in TOKEN."""

import os
import sys

import pygit2


class Callbacks(pygit2.RemoteCallbacks):
    def credentials(self, url, username, allowed):
        return pygit2.UserPass("x", os.environ["TOKEN"])

    def sideband_progress(self, text):
        sys.stderr.write(text)

    def push_update_reference(self, name, message):
        if message is not None:
            raise SystemExit(f"{name}: {message}")


def clone(url, directory):
    pygit2.clone_repository(url, directory, callbacks=Callbacks())


def commit(directory, path, line, message):
    with open(os.path.join(directory, path), "a") as file:
        file.write(line + "\n")
    repository = pygit2.Repository(directory)
    repository.index.add(path)
    repository.index.write()
    tree = repository.index.write_tree()
    who = pygit2.Signature("Ada", "ada@example.org")
    repository.create_commit("HEAD", who, who, message, tree, [repository.head.target])


def push(directory, name):
    repository = pygit2.Repository(directory)
    spec = f"{repository.head.name}:{name}"
    repository.remotes["origin"].push([spec], callbacks=Callbacks())


def fetch(directory):
    pygit2.Repository(directory).remotes["origin"].fetch(callbacks=Callbacks())


{"clone": clone, "commit": commit, "push": push, "fetch": fetch}[sys.argv[1]](*sys.argv[2:])
