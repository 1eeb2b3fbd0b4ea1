from chaintide.streams.kafka import KafkaConfig

PLAIN = KafkaConfig(bootstrap="one:9092,two:9092")
SASL = KafkaConfig(
    bootstrap="one:9092",
    security_protocol="SASL_SSL",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="ann",
    sasl_password="pass",
)


def test_plaintext_needs_the_address_alone():
    assert PLAIN.client_options() == {
        "bootstrap_servers": "one:9092,two:9092",
        "security_protocol": "PLAINTEXT",
    }
    assert PLAIN.sasl_options() == {}


def test_tls_alone_is_a_credential_for_faust():
    config = KafkaConfig(bootstrap="one:9092", security_protocol="SSL")
    assert set(config.faust_options()) == {"broker", "broker_credentials"}
    assert config.client_options()["ssl_context"].check_hostname


def test_sasl_reaches_both_clients():
    options = SASL.client_options()
    assert options["sasl_plain_password"] == "pass"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert SASL.faust_options() == {"broker": "kafka://one:9092"}
    assert SASL.sasl_options()["username"] == "ann"
    assert SASL.sasl_options()["ssl_context"] is not None


def test_a_password_is_not_shown():
    assert "pass" not in repr(SASL).replace("sasl_password", "")
