"""A mail server that writes what it takes down, one JSON object a line, until its input ends.

usage: smtp.py OUT [CERTIFICATE KEY USER PASSWORD_FILE]

With a certificate, it insists on STARTTLS and on the account. Prints its port when it listens.
"""
import json
import logging
import socket
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Sink:
    def __init__(self, path):
        self.out = open(path, "a", encoding="utf-8")

    async def handle_DATA(self, server, session, envelope):
        told = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "tls": session.ssl is not None,
            "login": bool(session.authenticated),
            "content": envelope.content.decode("utf-8", "surrogateescape"),
        }
        self.out.write(json.dumps(told) + "\n")
        self.out.flush()
        return "250 taken"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    # That a client ends a handshake is what a test is about.
    logging.getLogger("mail.log").disabled = True
    out, more = sys.argv[1], sys.argv[2:]
    options = {}
    if more:
        certificate, key, user, password_file = more
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        with open(password_file, encoding="utf-8") as file:
            expected = LoginPassword(user.encode(), file.read().strip().encode())

        def authenticate(server, session, envelope, mechanism, data):
            return AuthResult(success=data == expected)

        options = {
            "tls_context": context,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": authenticate,
        }
    controller = Controller(Sink(out), hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    print(controller.port, flush=True)
    sys.stdin.read()
    controller.stop()


main()
