"""A browser without scripts: it keeps cookies and sends forms with the secret of its page."""

import re
from typing import Any

from flask import Flask
from sqlmodel import Session

from service.identity import sessions
from service.identity.browser import COOKIE
from storage.models import Person
from storage.settings import Settings

HOST = "127.0.0.1"
PAGES = "text/html,application/xhtml+xml,*/*;q=0.8"
PASSWORD = "a long enough password"
SECRET = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


class Visitor:
    """Somebody at a browser, signed in when a session's secret is given."""

    def __init__(self, app: Flask, settings: Settings, secret: str | None = None) -> None:
        self.client = app.test_client()
        self.origin = settings.origin
        self._csrf = ""
        if secret is not None:
            self.client.set_cookie(COOKIE, secret, domain=HOST)

    def ask(self, method: str, path: str, **sent: Any) -> Any:
        """Send one request as it is, cookies beside it."""
        sent.setdefault("buffered", True)
        sent["headers"] = {"Accept": PAGES} | sent.get("headers", {})
        return self.client.open(path, method=method, base_url=self.origin, **sent)

    def get(self, path: str, **sent: Any) -> Any:
        return self.ask("GET", path, **sent)

    def post(self, path: str, **fields: Any) -> Any:
        """Send a form from one of our own pages."""
        return self.ask("POST", path, data={"csrf_token": self.csrf} | fields, headers=self.ours)

    def send(self, method: str, path: str, **sent: Any) -> Any:
        """Send what a script of our own pages sends."""
        headers = (
            {"X-CSRF-Token": self.csrf, "Accept": "application/json"}
            | self.ours
            | sent.pop("headers", {})
        )
        return self.ask(method, path, headers=headers, **sent)

    def sign_in(self, person: Person, password: str = PASSWORD, **fields: Any) -> Any:
        """Fill in the form on /sign-in."""
        self._csrf = ""
        answer = self.post("/sign-in", email=person.email, password=password, **fields)
        self._csrf = ""
        return answer

    def cookie(self, name: str = COOKIE) -> Any:
        """Return a cookie that this browser holds."""
        return self.client.get_cookie(name, domain=HOST)

    @property
    def ours(self) -> dict[str, str]:
        """What a browser says of a request that comes from our own page."""
        return {"Sec-Fetch-Site": "same-origin", "Origin": self.origin}

    def know(self, csrf: str) -> None:
        """Remember the secret of this browser's forms, known from an earlier page."""
        self._csrf = csrf

    @property
    def csrf(self) -> str:
        """The secret of this browser's forms, read off a page that anybody signed in may see."""
        if not self._csrf:
            page = "/help/keys" if self.cookie() else "/sign-in"
            found = SECRET.search(self.get(page).get_data(as_text=True))
            assert found, page
            self._csrf = found[1]
        return self._csrf


def visitor(app: Flask, settings: Settings, session: Session, person: Person) -> Visitor:
    """Return somebody's browser, signed in; everything added so far is committed."""
    secret = sessions.start(session, person, "a browser")
    session.commit()
    return Visitor(app, settings, secret)
