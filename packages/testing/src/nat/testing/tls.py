"""TLS for the fake backend: an authority of its own, and certificates for the server and for clients; needs trustme."""

import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trustme

__all__ = ["Authority", "ServerTls"]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server needs to speak TLS, in PEM.

    Attributes:
        certificate_pem, key_pem: Its own.
        client_ca_pem: Whoever has signed the clients' certificates, which are demanded then.
    """

    certificate_pem: bytes
    key_pem: bytes
    client_ca_pem: bytes | None = None

    def context(self) -> ssl.SSLContext:
        """The same for Python's `ssl`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with TemporaryDirectory() as folder:
            file = Path(folder) / "server.pem"
            file.touch(mode=0o600)
            file.write_bytes(self.key_pem + self.certificate_pem)
            context.load_cert_chain(file)
        if self.client_ca_pem is not None:
            context.load_verify_locations(cadata=self.client_ca_pem.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Authority:
    """A certificate authority that nobody trusts yet; its files lie in a folder.

    Args:
        folder: Where files go; it must exist.

    Attributes:
        ca_file: Its certificate, for whoever is to trust it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca_file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca_file))

    def server(self, *, demands_client_certificate: bool = False) -> ServerTls:
        """For a server at `localhost` and 127.0.0.1, that may accept only clients with a certificate of this authority."""
        issued = self._authority.issue_cert("localhost", "127.0.0.1")
        return ServerTls(
            certificate_pem=b"".join(blob.bytes() for blob in issued.cert_chain_pems),
            key_pem=issued.private_key_pem.bytes(),
            client_ca_pem=self._authority.cert_pem.bytes() if demands_client_certificate else None,
        )

    def client_files(self, name: str = "client") -> tuple[Path, Path]:
        """Certificate and key of a client, as files."""
        issued = self._authority.issue_cert(f"{name}.invalid")
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.touch(mode=0o600)
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key

    @cached_property
    def _authority(self) -> "trustme.CA":
        try:
            import trustme
        except ModuleNotFoundError as exc:
            raise ModuleNotFoundError(
                "nat.testing: certificates need trustme; install it with: pip install 'nat-telemetry-testing[tls]'"
            ) from exc
        return trustme.CA()
