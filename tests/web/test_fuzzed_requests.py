"""S16, S20: whatever a program makes of our own document, no answer is a fault of ours."""

import contextlib
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests import factories

load_all_checks()
CHECKED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
QUICKLY = settings(
    max_examples=6,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class AtHome:
    """The application as a program reaches it: under its own host, with somebody's token."""

    def __init__(self, application, origin, secret):
        self.application = application
        self.host = urlsplit(origin).netloc
        self.secret = secret

    def __call__(self, environ, start_response):
        environ["HTTP_HOST"] = self.host
        environ["HTTP_AUTHORIZATION"] = f"Bearer {self.secret}"
        return self.application(environ, start_response)


@pytest.fixture
def document(application, settings, session):
    author = factories.person(session, "Ana Lima")
    talk = factories.episode(session, factories.show(session, author), topics=["Pumps"])
    factories.comment(session, talk, author)
    secret = factories.token(session, author)
    session.commit()
    home = AtHome(application, settings.origin, secret)
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", home)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_s16_no_request_that_the_document_suggests_is_a_fault_of_ours(document, mode):
    tried = []
    for found in document.get_all_operations():
        operation = found.ok()
        cases = operation.as_strategy(generation_mode=mode)

        @QUICKLY
        @given(case=cases)
        def ask(case):
            case.call_and_validate(checks=CHECKED)

        # An operation that takes nothing at all has nothing to get wrong.
        with contextlib.suppress(Unsatisfiable):
            ask()
            tried.append(operation.label)
    assert len(tried) > 15
