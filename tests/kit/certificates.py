"""A certificate authority for a test, and certificates of it. By openssl, as nothing in Python's own library makes them."""

import ssl
import subprocess
from pathlib import Path


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Signs for `localhost` and 127.0.0.1."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self.file = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2)
        _openssl(*new, "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.file)

    def _signed(self, who: str) -> tuple[Path, Path]:
        key, request, out, more = (self._directory / f"{self._name}-{who}.{end}" for end in ("key", "csr", "pem", "cnf"))
        more.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={who}")
        _openssl(*new, "-keyout", key, "-out", request)
        signing = ("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-days", 2)
        _openssl(*signing, "-extfile", more, "-out", out)
        return out, key

    def files(self, who: str = "server") -> tuple[Path, Path]:
        """A certificate for `who`, and its key, for programs that read them."""
        return self._signed(who)

    def server(self, trusting: "Authority | None" = None) -> ssl.SSLContext:
        """A server's context; with `trusting`, callers must show a certificate of that authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.files())
        if trusting is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(trusting.file)
        return context

    def client(self, *, shown: bool = False) -> ssl.SSLContext:
        """The context of a caller that trusts this authority, and with `shown` has a certificate of it."""
        context = ssl.create_default_context(cafile=str(self.file))
        if shown:
            context.load_cert_chain(*self._signed("client"))
        return context
