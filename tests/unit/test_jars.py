import jgo.maven
import pytest

from chaintide.streams.errors import ConfigError
from chaintide.streams.jars import KAFKA_VERSION, kafka_jars


def test_jars_that_are_there_are_used_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jar = tmp_path / f"chaintide/kafka-{KAFKA_VERSION}/org/kafka.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    assert kafka_jars() == [jar]


def test_a_download_without_a_network_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    class Offline(jgo.maven.MavenContext):
        def __init__(self, **options):
            super().__init__(offline=True, **options)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jgo.maven, "MavenContext", Offline)
    with pytest.raises(ConfigError, match="set CHAINTIDE_KAFKA=host:port"):
        kafka_jars()
    assert list((tmp_path / "chaintide").iterdir()) == []
