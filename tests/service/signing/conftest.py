"""Key pairs, trusted and not, and artifacts with and without a signature."""

import shutil
from pathlib import Path

import pytest

from key_pairs import Pair, ec_pair, rsa_pair

CHURN = Path(__file__).parents[3] / "models/churn"


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The key that is trusted."""
    return ec_pair(tmp_path_factory.mktemp("trusted"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Another."""
    return ec_pair(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="session")
def rsa(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A key of a kind that the format does not know."""
    return rsa_pair(tmp_path_factory.mktemp("rsa"))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A copy of churn 1.2.0, at <tmp>/root/churn/1.2.0, unsigned."""
    return Path(shutil.copytree(CHURN / "1.2.0", tmp_path / "root/churn/1.2.0"))


@pytest.fixture
def signed(artifact: Path, pair: Pair) -> Path:
    """The same, signed with the trusted key."""
    pair.sign(artifact)
    return artifact
