"""The studio: drafts, uploads, one's own talks."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response as AnyResponse
from werkzeug.datastructures import FileStorage

from service import access, catalogue, embedding, publishing, reviewing, visibility
from service.catalogue import PersonLink
from service.context import dare, told
from service.failures import note
from service.identity.browser import me, network, publisher
from service.publishing import Draft, NotThereError, PublishingError, WidensError
from service.uploads import receiving
from service.uploads.receiving import UploadError
from storage.models import Episode, Show
from storage.objects import PART

blueprint = Blueprint("studio", __name__, url_prefix="/studio")

LANGUAGES = [
    ("en", "English"),
    ("de", "German"),
    ("fr", "French"),
    ("es", "Spanish"),
    ("it", "Italian"),
    ("nl", "Dutch"),
    ("pl", "Polish"),
    ("pt", "Portuguese"),
    ("sv", "Swedish"),
    ("tr", "Turkish"),
    ("uk", "Ukrainian"),
    ("hi", "Hindi"),
    ("ja", "Japanese"),
    ("zh", "Chinese"),
]


@blueprint.get("/")
@publisher
def index() -> str:
    """Offer a new talk and list one's own."""
    with dare().database.begin() as session:
        wished = {name: request.args.get(name, "")[:200] for name in ("title", "show")}
        return _index(session, {}, wished)


def _index(session: Session, errors: dict[str, str], typed: dict[str, str]) -> str:
    mine = catalogue.mine(session, me())
    rows = [row for row in mine if not row.withdrawn]
    done = [row for row in rows if row.published_at and row.state == "complete"]
    own = publishing.shows_to_publish_in(session, me())
    return render_template(
        "studio/index.html",
        drafts=[row for row in rows if row not in done],
        published=done,
        withdrawn=[row for row in mine if row.withdrawn],
        shows=_choices(session, own),
        everyone=visibility.everyone(dare().settings.organisation),
        languages=LANGUAGES,
        errors=errors,
        typed=typed,
    )


def _choices(session: Session, offered: Sequence[Show]) -> list[tuple[str, str]]:
    """Return shows to choose from, each with who will hear a talk in it."""
    organisation = dare().settings.organisation
    heard = visibility.audiences_in_words(session, me(), offered, organisation)
    return [(show.slug, f"{show.title} ({heard[show.slug]})") for show in offered]


def _draft() -> Draft:
    fields = ("title", "notes", "language", "topics", "show", "held")
    return Draft(**{name: request.form.get(name, "") for name in fields})


@blueprint.post("/")
@publisher
def create() -> AnyResponse | tuple[str, int]:
    """Save a draft and go on to its recording."""
    with dare().database.begin() as session:
        try:
            episode = publishing.create_draft(session, me(), _draft())
        except PublishingError as error:
            return _index(session, error.errors, request.form.to_dict()), 422
    return redirect(url_for("studio.edit", guid=episode.guid), 303)


@blueprint.get("/<uuid:guid>")
@publisher
def edit(guid: Any) -> str:
    """Show one's own talk for editing."""
    with dare().database.begin() as session:
        return _edit(session, str(guid), {}, {})


def _edit(
    session: Session,
    guid: str,
    errors: dict[str, str],
    typed: dict[str, str],
    *,
    meant: list[PersonLink] | None = None,
    wider: WidensError | None = None,
) -> str:
    episode = publishing.mine(session, me(), guid)
    talk = catalogue.talk(session, me(), guid)
    if talk is None:
        raise NotThereError
    upload = receiving.open_upload(session, talk.row.id)
    settings = dare().settings
    shown = {name: getattr(talk.row, name) for name in talk.row.__dataclass_fields__}
    return render_template(
        "studio/edit.html",
        episode={
            **shown,
            "notes": talk.notes,
            "notice": talk.notice,
            # The author's own word, not what was heard: saving the form must not turn one into the
            # other.
            "language": episode.language,
            "public": episode.public,
        },
        shows=_choices(session, _shows(session, episode)),
        wider=wider and {"slug": wider.slug, "heard_by": _opened_to(session, wider)},
        **_audience(session, episode, typed),
        reviewers=reviewing.of_talk(session, episode),
        meant=meant or [],
        embed_code=_embed_code(episode),
        languages=LANGUAGES,
        limits=SimpleNamespace(
            upload_bytes=settings.max_upload_bytes,
            form_bytes=min(settings.max_form_bytes, settings.max_upload_bytes),
        ),
        open_upload=SimpleNamespace(
            name=upload.given_name, size=upload.length, offset=upload.offset
        )
        if upload
        else None,
        errors=errors,
        typed=typed,
    )


def _embed_code(episode: Episode) -> str | None:
    """Return the code that shows a talk on other pages, where the house lets any of them do so."""
    settings = dare().settings
    if not access.is_out(episode) or not (settings.embed_origins or settings.public_talks):
        return None
    return embedding.code(settings.origin, str(episode.guid), episode.title)


def _shows(session: Session, episode: Episode) -> list[Show]:
    """Return the shows that the talk may stand in: its author's own, and the one it stands in."""
    own = publishing.shows_to_publish_in(session, me())
    if episode.show_id in {show.id for show in own}:
        return own
    return [session.get_one(Show, episode.show_id), *own]


def _opened_to(session: Session, error: WidensError) -> str:
    show = publishing.own_show(session, me(), error.slug)
    organisation = dare().settings.organisation
    return visibility.audience_in_words(session, me(), show, error.narrowed, organisation)


def _audience(session: Session, episode: Episode, typed: dict[str, str]) -> dict[str, Any]:
    """Return for whom a talk is, in words and as what can be chosen."""
    offered = visibility.options(session, me(), episode.audience)
    show = session.get_one(Show, episode.show_id)
    organisation = dare().settings.organisation
    words = visibility.audience_in_words(session, me(), show, episode.audience, organisation)
    if episode.withdrawn_at is not None:
        words = "nobody, it is withdrawn"
    elif episode.hidden_at is not None:
        words = "nobody, a moderator has hidden it"
    asked = "narrow" in typed
    named = [one.slug for one in offered if one.chosen]
    return {
        "heard_by": words,
        "audience": offered,
        "narrowed": typed["narrow"] == "yes" if asked else episode.audience is not None,
        "ticked": request.form.getlist("communities") if asked else named,
        "narrowed_to": _key(None if episode.audience is None else named),
    }


def _key(communities: Sequence[str] | None) -> str:
    """Return a narrowing as one word, which a form brings back to say what it was made for."""
    return "all" if communities is None else "only " + " ".join(sorted(set(communities)))


def _ticked() -> list[str] | None:
    return request.form.getlist("communities") if request.form.get("narrow") == "yes" else None


@blueprint.post("/<uuid:guid>")
@publisher
def save(guid: Any) -> AnyResponse | tuple[str, int]:
    """Save what was said of a talk."""
    typed = request.form.to_dict()
    try:
        with dare().database.begin() as session:
            yes = typed.get("widen", "")
            draft = _draft()
            episode = publishing.save(session, me(), str(guid), draft, widen=yes, network=network())
            # One form says what a talk is and for whom, so that sending it loses nothing. Whom it
            # is for counts only where it was changed: a page left open says what was.
            if "narrow" in typed and typed.get("narrowed_to") != _key(_ticked()):
                visibility.narrow(session, me(), episode, _ticked(), network=network())
    except WidensError as error:
        with dare().database.begin() as session:
            words = f"This opens it to {_opened_to(session, error)}. Save again to move it there."
            return _edit(session, str(guid), {"show": words}, typed, wider=error), 422
    except PublishingError as error:
        with dare().database.begin() as session:
            return _edit(session, str(guid), error.errors, typed), 422
    note("good", "Saved.")
    return redirect(url_for("studio.edit", guid=guid), 303)


@blueprint.post("/<uuid:guid>/upload")
@publisher
def begin_upload(guid: Any) -> tuple[Response, int]:
    """Open an upload for the page's script, or find the one that is open."""
    file = told()
    length = _whole(file.get("size"))
    with dare().database.begin() as session:
        upload, fresh = publishing.begin_upload(
            session, dare(), me(), str(guid), name=str(file.get("name", "")), length=length
        )
    url = url_for("uploads.append", upload_id=upload.id)
    facts = {"url": url, "offset": upload.offset, "chunk": PART}
    return jsonify(facts), 201 if fresh else 200


def _whole(size: object) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or size >= 2**63:
        raise UploadError(422, "Say how many bytes the file has.")
    return size


@blueprint.post("/<uuid:guid>/upload/end")
@publisher
def cancel_upload(guid: Any) -> AnyResponse:
    """Give up the upload under way; the draft stays."""
    with dare().database.begin() as session:
        publishing.cancel_upload(session, dare(), me(), str(guid))
    note("good", "The upload was cancelled. The draft is kept.")
    return redirect(url_for("studio.edit", guid=guid), 303)


@blueprint.post("/<uuid:guid>/finish")
@publisher
def finish(guid: Any) -> tuple[Response, int]:
    """Take a whole upload into production; any number of times."""
    publishing.finish(dare(), me(), str(guid))
    return jsonify({"next": url_for("studio.edit", guid=guid)}), 202


@blueprint.post("/<uuid:guid>/file")
@publisher
def upload(guid: Any) -> AnyResponse | tuple[str, int]:
    """Take a file from a plain form, for browsers without scripts."""
    try:
        _receive(str(guid), request.files.get("file"))
    except UploadError as error:
        with dare().database.begin() as session:
            return _edit(session, str(guid), {"file": str(error)}, {}), error.status
    return redirect(url_for("studio.edit", guid=guid), 303)


def _receive(guid: str, file: FileStorage | None) -> None:
    if file is None or not file.filename:
        raise UploadError(422, "Choose a recording first.")
    length = file.stream.seek(0, 2)
    file.stream.seek(0)
    publishing.receive(dare(), me(), guid, name=file.filename, length=length, body=file.stream)


@blueprint.post("/<uuid:guid>/publish")
@publisher
def publish(guid: Any) -> AnyResponse:
    """Let out a talk that was held back."""
    with dare().database.begin() as session:
        publishing.publish(session, me(), str(guid), network=network())
    note("good", "The talk is out.")
    return redirect(url_for("studio.edit", guid=guid), 303)


@blueprint.post("/<uuid:guid>/audience")
@publisher
def narrow(guid: Any) -> AnyResponse | tuple[str, int]:
    """Narrow one's own talk to communities, or open it to all who may see its show."""
    try:
        with dare().database.begin() as session:
            episode = publishing.mine(session, me(), str(guid))
            visibility.narrow(session, me(), episode, _ticked(), network=network())
    except PublishingError as error:
        with dare().database.begin() as session:
            return _edit(session, str(guid), error.errors, request.form.to_dict()), 422
    note("good", "Saved.")
    return redirect(url_for("studio.edit", guid=guid, _anchor="audience"), 303)


@blueprint.post("/<uuid:guid>/reviewers")
@publisher
def ask_reviewer(guid: Any) -> AnyResponse | tuple[str, int] | str:
    """Ask somebody to review one's own talk before it is out."""
    who = request.form.get("reviewer", "")
    with dare().database.begin() as session:
        try:
            asked = reviewing.ask(session, me(), str(guid), who, network=network())
        except PublishingError as error:
            # Committed, not rolled back: names that nobody bears are guesses, and guesses count.
            return _edit(session, str(guid), error.errors, request.form.to_dict()), 422
        if asked.person is None:
            return _edit(session, str(guid), {}, {"reviewer": who}, meant=asked.meant)
    note("good", f"{asked.person.name} can open the talk now and was told.")
    return redirect(url_for("studio.edit", guid=guid, _anchor="reviewers"), 303)


@blueprint.post("/<uuid:guid>/reviewers/removal")
@publisher
def end_review(guid: Any) -> AnyResponse:
    """Ask somebody for a review no longer."""
    person = request.form.get("person", "")
    with dare().database.begin() as session:
        reviewing.end(session, me(), str(guid), person, network=network())
    note("good", "The talk is closed to them.")
    return redirect(url_for("studio.edit", guid=guid, _anchor="reviewers"), 303)


@blueprint.post("/<uuid:guid>/retry")
@publisher
def retry(guid: Any) -> AnyResponse:
    """Try a failed talk again."""
    with dare().database.begin() as session:
        publishing.retry(session, dare(), me(), str(guid))
    return redirect(url_for("studio.edit", guid=guid), 303)


@blueprint.post("/<uuid:guid>/withdraw")
@publisher
def withdraw(guid: Any) -> AnyResponse:
    """Take one's own talk off every list."""
    with dare().database.begin() as session:
        publishing.withdraw(session, me(), str(guid), network=network())
    note("good", "The talk is withdrawn.")
    return redirect(url_for("studio.index"), 303)


@blueprint.post("/<uuid:guid>/restore")
@publisher
def restore(guid: Any) -> AnyResponse:
    """Put one's own withdrawn talk back."""
    with dare().database.begin() as session:
        publishing.restore(session, dare(), me(), str(guid), network=network())
    note("good", "The talk is back in its lists and feeds.")
    return redirect(url_for("studio.index"), 303)
