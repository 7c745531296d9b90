"""What every @noun@ must do: the tests are inherited."""

from nat_acme.conformance import AcmeConformance


class TestAcme(AcmeConformance):
    """The @noun@ `acme`."""
