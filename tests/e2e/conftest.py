"""Fixtures of the proofs on a cluster; what a failed one leaves to look at."""

from collections.abc import Generator, Iterator

import pytest

from harness.release import Release, installed


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    """Three pods on 1.2.0 in a namespace of the module's own."""
    purpose = request.module.__name__.rpartition("test_")[2].replace("_", "-")
    with installed(purpose) as one:
        yield one


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the state of the cluster under a failure, before the namespace is gone."""
    report = yield
    release = getattr(item, "funcargs", {}).get("release")
    if report.failed and call.when == "call" and isinstance(release, Release):
        report.sections.append(("the cluster", release.diagnose()))
    return report
