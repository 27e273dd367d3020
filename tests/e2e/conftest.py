"""What several browser tests stand on."""

from collections.abc import Generator

import pytest

from rondel.storage.ports import Columns
from rondel.testing.rows import file_rows
from tests.e2e.browser import chromium, served
from tests.e2e.desk import Bench, Desk
from tests.integration.web.gateways import fake_gateway
from tests.integration.web.house import furnish, open_house


@pytest.fixture(scope="module")
def bench(columns: Columns, tmp_path_factory: pytest.TempPathFactory) -> Generator[Bench]:
    """A furnished console with a gateway to ask, one for the tests of a file."""
    folder, gateway = tmp_path_factory.mktemp("gateway"), fake_gateway()
    with served(gateway) as address:
        house = open_house(columns, file_rows(folder), folder, gateway=address)
        furnish(house, requests=30)
        with chromium() as browser, served(house.app) as url:
            yield Bench(Desk(browser, house, url), gateway)
