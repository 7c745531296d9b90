"""Transports: how an encoded request gets to a receiver, and what its answer means."""

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Compression", "OtlpProtocol", "TlsFiles", "Transport"]

OtlpProtocol = Literal["http", "http/protobuf", "http/json", "grpc"]
Compression = Literal["none", "gzip"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files for TLS, PEM all of them; without any, the system's certificate authorities are trusted.

    Attributes:
        ca_file: Authorities to trust in place of the system's.
        certificate_file: The client's certificate, with what leads up to its authority.
        key_file: Its private key; `None`: it is in the file of the certificate.
    """

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class Transport(Protocol):
    """Sends requests of one exporter; lives on the event loop that first sends."""

    @property
    def shown_endpoint(self) -> str:
        """Where to, without anything secret."""
        ...

    async def send(self, body: bytes) -> None:
        """Send one encoded request; returns once all of it was taken.

        Raises:
            TransientExportError: The receiver may take it later.
            PartialExportError: It has taken some of the spans.
            ItemTooLargeError: It takes less at once.
            PermanentExportError: It will never take it.
        """
        ...

    async def close(self) -> None:
        """Close connections; idempotent."""
        ...
