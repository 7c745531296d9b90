"""Transports: how an encoded request gets to a receiver, and what its answer means."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["Compression", "OtlpProtocol", "TlsFiles", "Transport", "ssl_context", "user_agent"]

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


def user_agent() -> str:
    """What requests say of who sends them (OTLP specification, "User Agent")."""
    return f"nat-telemetry-otlp/{version('nat-telemetry-otlp')}"


def ssl_context(tls: TlsFiles) -> "SSLContext":
    """A client's context with these files.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file does not hold what it should.
    """
    import ssl  # takes 10 ms, and only who speaks TLS needs it

    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except ssl.SSLError:
        raise ValueError(f"tls.ca_file: {tls.ca_file!r} holds no certificate in PEM") from None
    if tls.certificate_file is not None:
        try:
            context.load_cert_chain(tls.certificate_file, tls.key_file, password=_no_password)
        except ssl.SSLError as error:
            files = " and ".join(repr(file) for file in (tls.certificate_file, tls.key_file) if file is not None)
            raise ValueError(
                f"tls.certificate_file: {files} hold no certificate in PEM with the key that belongs to it ({error.reason})"
            ) from None
    return context


def _no_password() -> str:
    """Stands in for OpenSSL's question at the terminal."""
    raise ValueError("tls.key_file: the key is encrypted, and there is no password for it; give it without encryption")
