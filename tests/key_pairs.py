"""Key pairs as openssl makes them, and `model_signing`, the command line of the format's own library."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from modelroll_server.artifact.signature import PublicKeys
from modelroll_server.packing import signing


@dataclass(frozen=True)
class Pair:
    """A key pair, as two files."""

    private: Path
    public: Path

    @property
    def keys(self) -> PublicKeys:
        """What trusts it."""
        return PublicKeys(self.public.read_text())

    def sign(self, place: Path) -> str:
        """Sign as `modelroll sign` does."""
        return signing.sign(place, signing.read_key(self.private.read_bytes(), lambda: ""))


def openssl(*arguments: str | Path) -> None:
    """Run it."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def ec_pair(directory: Path, curve: str = "prime256v1") -> Pair:
    """A pair on a curve, as docs and help say to make one."""
    private, public = directory / "key.pem", directory / "key.pub"
    openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", private)
    openssl("ec", "-in", private, "-pubout", "-out", public)
    return Pair(private, public)


def rsa_pair(directory: Path) -> Pair:
    """A pair of a kind that the format does not know."""
    private, public = directory / "key.pem", directory / "key.pub"
    openssl("genrsa", "-out", private, "2048")
    openssl("rsa", "-in", private, "-pubout", "-out", public)
    return Pair(private, public)


def library(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """`model_signing` with arguments."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)
