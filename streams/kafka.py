"""Where Kafka is and how to log in to it, in the words of each client library."""

import ssl
from dataclasses import dataclass, field
from typing import Any, Literal

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """The address of a Kafka cluster and the credentials for it.

    >>> KafkaConfig(bootstrap="one:9092,two:9092").faust_options()
    {'broker': 'kafka://one:9092;kafka://two:9092'}
    """

    bootstrap: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def client_options(self) -> dict[str, Any]:
        """Return the connection arguments of aiokafka's producer, consumer and admin client."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
        }
        if context := self._ssl_context():
            options["ssl_context"] = context
        if self._has_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        return options

    def producer_options(self, *, linger_ms: int) -> dict[str, Any]:
        """Return the arguments of a producer of many records, acknowledged by all replicas."""
        return self.client_options() | {
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": linger_ms,
            "max_batch_size": 1 << 20,
            "max_request_size": 8 << 20,
        }

    def faust_options(self) -> dict[str, Any]:
        """Return the connection arguments of ``faust.App``, all but ``sasl_options``."""
        hosts = (f"kafka://{host.strip()}" for host in self.bootstrap.split(","))
        options: dict[str, Any] = {"broker": ";".join(hosts)}
        if not self._has_sasl and (context := self._ssl_context()):
            options["broker_credentials"] = context
        return options

    def sasl_options(self) -> dict[str, Any]:
        """Return the arguments of ``faust.SASLCredentials``; none without SASL."""
        if not self._has_sasl:
            return {}
        return {
            "username": self.sasl_username,
            "password": self.sasl_password,
            "mechanism": self.sasl_mechanism,
            "ssl_context": self._ssl_context(),
        }

    @property
    def _has_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    def _ssl_context(self) -> ssl.SSLContext | None:
        if not self.security_protocol.endswith("SSL"):
            return None
        context = ssl.create_default_context(cafile=self.ssl_cafile)
        if self.ssl_certfile:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        return context
