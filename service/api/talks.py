"""Talks: lists, one whole, drafts and changes, and their way into production."""

from typing import Any
from uuid import UUID

from flask import Blueprint, url_for
from sqlalchemy import ColumnElement, and_
from sqlmodel import Session, select

from service import access, catalogue, publishing, visibility
from service.access import Asker
from service.api.contract import answers, spec
from service.api.readers import (
    CueRead,
    EpisodeRead,
    EpisodeRow,
    EpisodesRead,
    ProgressRead,
    SpreadRead,
    TermRead,
    TranscriptRead,
)
from service.api.writers import AudienceBody, ChangeBody, DraftBody, EpisodesAsked
from service.catalogue import Row, Talk, by_person, in_show, on_topic
from service.context import dare
from service.identity.browser import me, network, publisher, signed_in
from service.publishing import Draft, NotThereError, PublishingError
from storage.models import Episode, Person, Show, Topic

blueprint = Blueprint("talks", __name__, url_prefix="/episodes")


def row_of(row: Row, asker: Asker) -> EpisodeRow:
    """Return a list's row for this asker; why a talk failed is its author's business."""
    shown = EpisodeRow.model_validate(row)
    if row.author.ref != asker.ref:
        shown.reason = None
    return shown


def whole(session: Session, guid: UUID) -> EpisodeRead:
    """Return one talk whole.

    Raises:
        NotThereError: there is none for this asker.
    """
    talk = _talk(session, guid)
    row = row_of(talk.row, me()).model_dump()
    own = talk.row.author.ref == me().ref
    told = {
        name: getattr(talk, name) for name in EpisodeRead.model_fields if name in vars(talk)
    } | {
        "notice": talk.notice if own else None,
        "held": talk.row.held,
        "why": talk.why.sentence,
        "rating": SpreadRead.model_validate(talk.rating) if talk.rating else None,
        "terms": [TermRead(name=name, value=value) for name, value in talk.why.terms]
        if talk.rating
        else [],
    }
    return EpisodeRead(**row | told, **_addresses(talk))


def _addresses(talk: Talk) -> dict[str, str | None]:
    guid, revision = talk.row.guid, talk.revision
    audio = url_for("media.audio", guid=guid, revision=revision)
    video = url_for("media.video", guid=guid, revision=revision)
    captions = url_for("media.transcript", guid=guid, kind="vtt")
    return {
        "page_url": url_for("episodes.show", guid=guid),
        "audio_url": audio if talk.has_audio else None,
        "video_url": video if talk.has_video else None,
        "captions_url": captions if talk.transcript else None,
    }


def _talk(session: Session, guid: UUID) -> Talk:
    talk = catalogue.talk(session, me(), str(guid))
    if talk is None:
        raise NotThereError
    return talk


def opened(session: Session, guid: UUID) -> Episode:
    """Return the episode that this asker may open.

    Raises:
        NotThereError: there is none, or it is not for this asker.
    """
    episode = catalogue.find(session, me(), str(guid))
    if episode is None:
        raise NotThereError
    return episode


@blueprint.get("")
@signed_in
@spec.validate(query=EpisodesAsked, resp=answers(EpisodesRead, 422), tags=["episodes"])
def listed(query: EpisodesAsked) -> EpisodesRead:
    """List talks, the most useful or the newest first."""
    ordered = catalogue.top if query.order == "top" else catalogue.newest
    with dare().database.begin() as session:
        page = ordered(
            session, me(), after=_after(session, query), within=_conditions(session, query)
        )
    rows = [row_of(row, me()) for row in page.rows]
    return EpisodesRead(rows=rows, next=UUID(page.after) if page.after else None)


def _conditions(session: Session, asked: EpisodesAsked) -> ColumnElement[bool] | None:
    found: list[ColumnElement[bool]] = []
    errors: dict[str, str] = {}
    for field, wanted, query, within in (
        (
            "topic",
            asked.topic,
            select(Topic.id).where(Topic.slug == asked.topic, catalogue.topics_known(me())),
            on_topic,
        ),
        (
            "show",
            asked.show,
            select(Show.id).where(Show.slug == asked.show, access.shows_listed(me())),
            in_show,
        ),
        ("person", asked.person, select(Person.id).where(Person.ref == asked.person), by_person),
    ):
        if wanted is None:
            continue
        known = session.exec(query).first()
        if known is None:
            errors[field] = f"There is no such {field}."
        else:
            found.append(within(known))
    if errors:
        raise PublishingError(errors)
    return and_(*found) if found else None


def _after(session: Session, asked: EpisodesAsked) -> str | None:
    """Return the catalogue's cursor; one that names no talk is told so here."""
    if asked.after is None:
        return None
    if catalogue.find(session, me(), str(asked.after)) is None:
        raise PublishingError({"after": "This is not the `next` of a page."})
    return str(asked.after)


@blueprint.get("/mine")
@publisher
@spec.validate(resp=answers(EpisodesRead, 404), tags=["episodes"])
def mine() -> EpisodesRead:
    """List one's own hundred latest talks, whatever their state."""
    with dare().database.begin() as session:
        rows = catalogue.mine(session, me())
    return EpisodesRead(rows=[row_of(row, me()) for row in rows], next=None)


@blueprint.post("")
@publisher
@spec.validate(
    json=DraftBody,
    resp=answers(EpisodeRead, 400, 404, 413, 415, 422, status=201),
    tags=["publishing"],
)
def create(json: DraftBody) -> tuple[EpisodeRead, int, dict[str, str]]:
    """Save a draft; its recording comes next."""
    draft = Draft(
        title=json.title,
        notes=json.notes,
        language=json.language,
        topics=",".join(json.topics),
        show=json.show or "",
        held="yes" if json.held else "no",
    )
    with dare().database.begin() as session:
        guid = publishing.create_draft(session, me(), draft).guid
        made = whole(session, guid)
    return made, 201, {"Location": url_for("api.talks.show", guid=guid)}


@blueprint.get("/<uuid:guid>")
@signed_in
@spec.validate(resp=answers(EpisodeRead, 404), tags=["episodes"])
def show(guid: UUID) -> EpisodeRead:
    """Tell one talk whole."""
    with dare().database.begin() as session:
        return whole(session, guid)


@blueprint.patch("/<uuid:guid>")
@publisher
@spec.validate(
    json=ChangeBody, resp=answers(EpisodeRead, 400, 404, 413, 415, 422), tags=["publishing"]
)
def change(guid: UUID, json: ChangeBody) -> EpisodeRead:
    """Change what is said of one's own talk, in any state."""
    with dare().database.begin() as session:
        publishing.mine(session, me(), str(guid), lock=True)
        draft = _changed(_talk(session, guid), json)
        publishing.save(session, me(), str(guid), draft, network=network())
        return whole(session, guid)


def _changed(talk: Talk, given: ChangeBody) -> Draft:
    sent = given.model_fields_set
    topics = given.topics if "topics" in sent else [topic.name for topic in talk.row.topics]
    return Draft(
        title=given.title if "title" in sent else talk.row.title,
        notes=given.notes if "notes" in sent else talk.notes,
        language=given.language,
        topics=",".join(topics),
        show=given.show or "",
        held=("yes" if given.held else "no") if "held" in sent else "",
    )


@blueprint.post("/<uuid:guid>/finish")
@publisher
@spec.validate(resp=answers(ProgressRead, 404, 409, 503, status=202), tags=["publishing"])
def finish(guid: UUID) -> tuple[ProgressRead, int]:
    """Take a whole upload into production; any number of times, with one effect."""
    publishing.finish(dare(), me(), str(guid))
    with dare().database.begin() as session:
        return _progress(session, guid), 202


@blueprint.post("/<uuid:guid>/retry")
@publisher
@spec.validate(resp=answers(ProgressRead, 404, 409, status=202), tags=["publishing"])
def retry(guid: UUID) -> tuple[ProgressRead, int]:
    """Try a failed talk again."""
    with dare().database.begin() as session:
        publishing.retry(session, dare(), me(), str(guid))
        return _progress(session, guid), 202


@blueprint.post("/<uuid:guid>/withdraw")
@publisher
@spec.validate(resp=answers(None, 404, status=204), tags=["publishing"])
def withdraw(guid: UUID) -> tuple[str, int]:
    """Take a talk off every list and feed."""
    with dare().database.begin() as session:
        publishing.withdraw(session, me(), str(guid), network=network())
    return "", 204


@blueprint.post("/<uuid:guid>/publish")
@publisher
@spec.validate(resp=answers(None, 404, status=204), tags=["publishing"])
def publish(guid: UUID) -> tuple[str, int]:
    """Let out a talk that was held back, as soon as it can be heard."""
    with dare().database.begin() as session:
        publishing.publish(session, me(), str(guid), network=network())
    return "", 204


@blueprint.put("/<uuid:guid>/audience")
@publisher
@spec.validate(
    json=AudienceBody, resp=answers(None, 400, 404, 413, 415, 422, status=204), tags=["publishing"]
)
def narrow(guid: UUID, json: AudienceBody) -> tuple[str, int]:
    """Narrow a talk to communities that one belongs to, or open it to all who may see its show."""
    with dare().database.begin() as session:
        episode = publishing.mine(session, me(), str(guid))
        visibility.narrow(session, me(), episode, json.communities, network=network())
    return "", 204


@blueprint.get("/<uuid:guid>/progress")
@signed_in
@spec.validate(resp=answers(ProgressRead, 404), tags=["episodes"])
def progress(guid: UUID) -> ProgressRead:
    """Say how far the making of a talk is."""
    with dare().database.begin() as session:
        return _progress(session, guid)


def _progress(session: Session, guid: UUID) -> ProgressRead:
    talk = _talk(session, guid)
    facts: dict[str, Any] = row_of(talk.row, me()).model_dump()
    times = {"playable_at": talk.playable_at, "completed_at": talk.completed_at}
    return ProgressRead(**facts | times)


@blueprint.get("/<uuid:guid>/transcript")
@signed_in
@spec.validate(resp=answers(TranscriptRead, 404), tags=["episodes"])
def transcript(guid: UUID) -> TranscriptRead:
    """Tell all that is said in a talk, line by line."""
    with dare().database.begin() as session:
        talk = _talk(session, guid)
        language = catalogue.transcript_language(session, talk.row.id)
    if language is None:
        raise NotThereError
    cues = [CueRead.model_validate(cue) for part in talk.transcript for cue in part.cues]
    return TranscriptRead(language=language, revision=talk.transcript_revision, rows=cues)
