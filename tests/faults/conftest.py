import pytest

from tests.harness import Podrun
from tests.pods.living import Pods


@pytest.fixture
def pods(podrun: Podrun) -> Pods:
    """The pods of the module's daemon."""
    return Pods(podrun)
