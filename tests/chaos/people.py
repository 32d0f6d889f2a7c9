"""People at their browsers: signing in, opening a case, deciding by the form that they see."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

import requests

from opsdesk.demo import cast

ANSWERS_WITHIN = 30


@dataclass
class SeenForm:
    """A form of a page: where it goes, its hidden fields, and the choices of its radio buttons."""

    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)


class _Forms(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[SeenForm] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(SeenForm(facts.get("action", "")))
        if tag != "input" or not self.found or not facts.get("name"):
            return
        if facts.get("type") == "hidden":
            self.found[-1].hidden[facts["name"]] = facts.get("value", "")
        if facts.get("type") == "radio":
            self.found[-1].choices.setdefault(facts["name"], []).append(facts.get("value", ""))


class Person:
    """One member of the cast with a session of their own."""

    def __init__(self, desk_url: str, username: str) -> None:
        self.username = username
        self._url = desk_url
        self._session = requests.Session()

    def sign_in(self) -> None:
        """By the page, as everybody does."""
        page = self._session.get(f"{self._url}/sign-in/", timeout=ANSWERS_WITHIN)
        form = next(form for form in _forms_of(page) if form.action == "/sign-in/")
        answer = self._post(form, username=self.username, password=cast.PASSWORD)
        assert answer.status_code == 200, f"{self.username} could not sign in: {answer.status_code}"
        assert not answer.url.endswith("/sign-in/"), f"{self.username} could not sign in"

    def see(self, path: str) -> int:
        """Open a page; its status."""
        return self._session.get(f"{self._url}{path}", timeout=ANSWERS_WITHIN).status_code

    def decide(self, case_id: int, verdict: str) -> int:
        """Approve or reject the case with the first reason offered; returns the status of the answer."""
        form = self._form_of(case_id, "decide")
        name = f"reason_{verdict}"
        if form is None or not form.choices.get(name):
            return 404
        chosen = {"verdict": verdict, name: form.choices[name][0], "text": "Looked at the order and the request."}
        return self._post(form, **chosen).status_code

    @property
    def cookies(self) -> str:
        """What the browser sends along with every request."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._session.cookies)

    def filled_in(self, case_id: int, verdict: str) -> tuple[str, str]:
        """The form of a decision, not sent yet: its address and its fields as the browser would send them."""
        form = self._form_of(case_id, "decide")
        assert form is not None, f"{self.username} has nothing to decide about {case_id}"
        name = f"reason_{verdict}"
        fields = {"verdict": verdict, name: form.choices[name][0], "text": "Looked at the order and the request."}
        return form.action, urlencode(form.hidden | fields)

    def object_to(self, case_id: int) -> int:
        """Keep the case from leaving by itself; returns the status of the answer."""
        form = self._form_of(case_id, "decide")
        if form is None:
            return 404
        form.action = f"/cases/{case_id}/object/"
        return self._post(form, text="This one should be looked at.").status_code

    def retry(self, case_id: int) -> int:
        """Have the failed step of the case tried again; returns the status of the answer."""
        form = self._form_of(case_id, "retry")
        return 404 if form is None else self._post(form, reason="The gateway is well again.").status_code

    def sign_recovery(self, reason: str) -> int:
        """Sign what the gateways did meanwhile, where every one of them has been read; returns the status."""
        page = self._session.get(f"{self._url}/recovery/", timeout=ANSWERS_WITHIN)
        form = next((form for form in _forms_of(page) if form.action.endswith("/sign/")), None)
        return 404 if form is None else self._post(form, reason=reason).status_code

    def _form_of(self, case_id: int, verb: str) -> SeenForm | None:
        page = self._session.get(f"{self._url}/cases/{case_id}/", timeout=ANSWERS_WITHIN)
        start = f"/cases/{case_id}/{verb}/"
        return next((form for form in _forms_of(page) if form.action.startswith(start)), None)

    def _post(self, form: SeenForm, **fields: str) -> requests.Response:
        return self._session.post(f"{self._url}{form.action}", data=form.hidden | fields, timeout=ANSWERS_WITHIN)


def _forms_of(page: requests.Response) -> list[SeenForm]:
    parser = _Forms()
    parser.feed(page.text)
    return parser.found
