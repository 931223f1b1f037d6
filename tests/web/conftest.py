"""The application, made once, and programs that talk to its API."""

from typing import Any

import pytest

from service.app import create_app, floor_of
from storage.models import Person
from tests import factories


class Program:
    """A program that asks the API with somebody's token; `told` of an answer is its JSON."""

    def __init__(self, application: Any, origin: str, secret: str | None) -> None:
        self._client = application.test_client(use_cookies=False)
        self._origin = origin
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    def ask(self, method: str, path: str, **sent: Any) -> Any:
        """Ask for an address of the origin; those without a leading slash are the API's."""
        full = path if path.startswith("/") else f"/api/v1/{path}"
        headers = self._headers | sent.pop("headers", {})
        return self._client.open(
            full, method=method, base_url=self._origin, headers=headers, **sent
        )

    def get(self, path: str, **sent: Any) -> Any:
        return self.ask("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> Any:
        return self.ask("POST", path, **sent)

    def put(self, path: str, **sent: Any) -> Any:
        return self.ask("PUT", path, **sent)

    def patch(self, path: str, **sent: Any) -> Any:
        return self.ask("PATCH", path, **sent)

    def delete(self, path: str, **sent: Any) -> Any:
        return self.ask("DELETE", path, **sent)


@pytest.fixture(scope="session")
def application(house):
    """The whole application on the running house."""
    made = create_app(house)
    yield made
    floor_of(made).database.close()


@pytest.fixture(autouse=True)
def unhurried(request):
    """Let each test begin without what earlier ones have asked for so far."""
    for name in {"application", "app"} & set(request.fixturenames):
        request.getfixturevalue(name).extensions["dare-floods"].clear()


@pytest.fixture
def program(application, settings, session):
    """Make the program of a person; everything added so far is committed with its token."""

    def made(of: Person | None, secret: str | None = None) -> Program:
        if of is not None:
            secret = factories.token(session, of)
            session.commit()
        return Program(application, settings.origin, secret)

    return made
