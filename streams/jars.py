"""Apache Kafka's program files, fetched once from Maven Central."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track

from chaintide.contracts.cache import cache, filling
from chaintide.streams.errors import ConfigError

KAFKA_VERSION: Final = "4.1.2"
_KAFKA: Final = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
_LOGGING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3"  # else Kafka logs nothing


def kafka_jars() -> list[Path]:
    """Return the class path of Kafka; the first call ever downloads it (45 MB).

    Raises:
        ConfigError: If Maven Central cannot be reached or the cache cannot be written.
    """
    home = cache() / f"kafka-{KAFKA_VERSION}"
    if not home.is_dir():
        try:
            _download(home)
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"cannot download Apache Kafka {KAFKA_VERSION} to {home}: {error}. Connect this "
                "machine to Maven Central once, or set CHAINTIDE_KAFKA=host:port to a Kafka of "
                "your own"
            ) from error
    return sorted(home.rglob("*.jar"))


def _download(home: Path) -> None:
    # Half a second that no process but the first one ever has to wait for.
    import jgo.maven  # noqa: PLC0415
    import jgo.parse  # noqa: PLC0415

    console = Console(stderr=True)
    console.print(f"Apache Kafka {KAFKA_VERSION} comes from Maven Central, this once")
    with filling(home) as jars, ThreadPoolExecutor(8) as pool:
        maven = jgo.maven.MavenContext(repo_cache=jars, local_repos=[], timeout=60)
        kafka, logging = (
            maven.create_dependency(jgo.parse.Coordinate.parse(name)) for name in (_KAFKA, _LOGGING)
        )
        _, below = maven.resolver.resolve([kafka])  # with logging, its parent's versions would win
        artifacts = [dependency.artifact for dependency in (kafka, *below, logging)]
        downloads = pool.map(lambda artifact: artifact.resolve(), artifacts)
        for _ in track(downloads, "Downloading", len(artifacts), console=console, transient=True):
            pass
